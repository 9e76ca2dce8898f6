import { ConfigError, type ConfigProblem } from '../../../src/config/errors.js';
import { parseConfig } from '../../../src/config/load.js';

/** The problems of a text that must not load, as `line path: message; fix`. */
export function problemsOf(text: string): string[] {
  return errorOf(text).problems.map(shown);
}

function shown({ line, path, message, fix }: ConfigProblem): string {
  return `${line} ${path}: ${message}; ${fix}`;
}

export function errorOf(text: string): ConfigError {
  try {
    parseConfig(text, 'test.yaml');
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error(`this loads: ${text}`);
}
