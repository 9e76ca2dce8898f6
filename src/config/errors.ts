import { BarricataError } from '../base/errors.js';

/** One thing wrong in a configuration file. */
export interface ConfigProblem {
  /** 1-based; 0 when the file as a whole is meant. */
  readonly line: number;
  /** Dotted path of the key: `filter.syn.more_than`. */
  readonly path: string;
  readonly message: string;
  /** What to write instead. */
  readonly fix: string;
}

/** kind: `unreadable` (no such file, no permission), `not_yaml`, `invalid`. Carries every problem at once. */
export class ConfigError extends BarricataError {
  readonly problems: readonly ConfigProblem[];
  constructor(kind: 'unreadable' | 'not_yaml' | 'invalid', file: string, problems: readonly ConfigProblem[]) {
    const lines = problems.map(
      (p) => `${file}${p.line ? `:${p.line}` : ''}: ${p.path ? `${p.path}: ` : ''}${p.message}; ${p.fix}`,
    );
    super('read configuration', kind, lines.join('\n'));
    this.problems = problems;
  }
}
