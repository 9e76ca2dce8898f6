import type { Family } from '../net/address.js';
import { isProblem, parsePrefix } from '../net/prefix.js';
import { LONGEST_TIMEOUT, type SetElement, type SetHeader } from '../netlink/ipset.js';
import { EnforcementError, type Gate, type KernelElement } from './set-backend.js';
import { type SetPlan, twinOf } from './sets.js';

/** What the two ways to the kernel's sets, netlink and the `ipset` program, each do in their own manner. */
export interface SetTool {
  /** `null` when there is no such set. */
  header(name: string): SetHeader | null | Promise<SetHeader | null>;
  create(name: string, plan: SetPlan): void | Promise<void>;
  /** One that does not exist is no failure. */
  destroy(name: string): unknown;
  swap(name: string, other: string): void | Promise<void>;
  rename(name: string, to: string): void | Promise<void>;
  elements(name: string, family: Family): AsyncIterable<readonly Pick<KernelElement, 'text' | 'timeout'>[]>;
  /** Throws when the kernel refuses one of them. */
  fill(name: string, family: Family, elements: readonly SetElement[]): void | Promise<void>;
}

/**
 * Brings one set to its plan. One that exists with other parameters (too small,
 * without timeouts or counters) is rebuilt in a twin, filled with what it held
 * and swapped, so that there is no moment without it. What the gate refuses
 * stays behind.
 * @throws EnforcementError kind `refused` when a set of another type has the name and a rule uses it,
 *   and whatever the tool throws
 */
export async function ensureSet(tool: SetTool, plan: SetPlan, gate: Gate): Promise<void> {
  const { name, type, family } = plan;
  const twin = twinOf(name);
  await tool.destroy(twin);
  const header = await tool.header(name);
  if (header === null) return tool.create(name, plan);
  const sameKind = header.type === type && header.family === family;
  if (sameKind && serves(header, plan)) return;
  if (!sameKind && header.references > 0) {
    throw new EnforcementError(
      'ipset open',
      'refused',
      `a rule uses a set named ${name} of type ${header.type}, which Barricata did not make; remove that rule and set`,
    );
  }
  await tool.create(twin, plan);
  // What the other helpers hold lasts seconds, and comes again.
  if (type === 'hash:net' && header.family === family && ['hash:net', 'hash:ip'].includes(header.type)) {
    for await (const page of tool.elements(name, family)) await tool.fill(twin, family, admitted(page, plan, gate));
  }
  if (sameKind) {
    await tool.swap(name, twin);
    await tool.destroy(twin);
  } else {
    await tool.destroy(name);
    await tool.rename(twin, name);
  }
}

/** Whether a set of the right kind can be taken as it is. */
function serves(header: SetHeader, plan: SetPlan): boolean {
  return (
    header.timeout === plan.timeout &&
    header.counters === plan.counters &&
    header.netmask === plan.netmask &&
    header.maxelem >= plan.maxelem &&
    (!plan.kernelFed || header.hashsize >= plan.hashsize)
  );
}

function admitted(
  page: readonly Pick<KernelElement, 'text' | 'timeout'>[],
  { family, list }: SetPlan,
  gate: Gate,
): SetElement[] {
  const elements: SetElement[] = [];
  for (const { text, timeout } of page) {
    const prefix = parsePrefix(text);
    if (isProblem(prefix) || prefix.family !== family) continue;
    if (list === 'ban' && gate(prefix) !== null) continue;
    elements.push({ prefix, timeout: Math.min(timeout, LONGEST_TIMEOUT) });
  }
  return elements;
}
