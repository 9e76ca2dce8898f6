import type { FilterConfig } from '../../src/config/config.js';
import { parseConfig } from '../../src/config/load.js';

/** What holds where the configuration says nothing. */
export const DEFAULT_FILTER: FilterConfig = parseConfig('', 'default').filter;

/** A filter that looks for nothing; a test switches on what it is about. */
export const NO_FILTER: FilterConfig = {
  timeZone: 'UTC',
  syn: null,
  flood: null,
  icmp: null,
  udp: null,
  scan: null,
  slowScan: null,
  sweep: null,
  pingSweep: null,
  stealth: null,
  ackScan: null,
  land: false,
  rules: [],
};
