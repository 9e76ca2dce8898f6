import type { Config } from '../../config/config.js';
import { ConfigError, type ConfigProblem } from '../../config/errors.js';
import { type ConfigDocument, parseConfig, readConfigText, readDocument } from '../../config/load.js';
import { withoutSecrets } from '../../config/secrets.js';
import { lint, type Warning } from '../../policy/lint.js';
import { CLASSIFICATION_FILE, readCategories } from '../../suricata/classification.js';
import { RulesetError, readRuleset } from '../../suricata/ruleset.js';

/** A configuration that is to be judged, and everything that was found out about it. */
export interface Candidate {
  readonly file: string;
  /** As it was read; '' when it could not be. */
  readonly text: string;
  /** `null` when it has errors. */
  readonly config: Config | null;
  readonly document: ConfigDocument | null;
  readonly errors: readonly ConfigProblem[];
  readonly warnings: readonly Warning[];
  /** What was not looked for, and why, one sentence each. */
  readonly skipped: readonly string[];
}

/** Reads a file and judges it. Never throws for what is wrong with the file. */
export async function candidateOf(file: string): Promise<Candidate> {
  let text = '';
  try {
    text = readConfigText(file);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return wrong(file, text, error);
  }
  return judged(text, file);
}

/** The same of a text that was read already. */
export async function judged(text: string, file: string): Promise<Candidate> {
  try {
    const config = parseConfig(text, file);
    const document = readDocument(text, file);
    return { file, text, config, document, errors: [], ...(await lintOf(config)) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return wrong(file, text, error);
  }
}

function wrong(file: string, text: string, { problems }: ConfigError): Candidate {
  const skipped = ['warnings, until the errors are corrected'];
  return { file, text, config: null, document: null, errors: problems, warnings: [], skipped };
}

async function lintOf(config: Config): Promise<Pick<Candidate, 'warnings' | 'skipped'>> {
  const skipped: string[] = [];
  const ruleset = await readRuleset(config.suricata.rules).catch((error: unknown) => {
    if (!(error instanceof RulesetError)) throw error;
    skipped.push(`what needs the rules of Suricata: ${error.message}`);
    return null;
  });
  const categories = await readCategories();
  if (categories === null) skipped.push(`categories: ${CLASSIFICATION_FILE} cannot be read`);
  return { warnings: lint(config, { now: Date.now(), ruleset, categories }), skipped };
}

/** A line of the file as it may be shown; '' for line 0. */
export function quoted(text: string, line: number): string {
  return line === 0 ? '' : withoutSecrets(text.split('\n', line)[line - 1]?.trimEnd() ?? '').slice(0, 300);
}
