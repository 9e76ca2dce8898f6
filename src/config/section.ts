import { z } from 'zod';
import { say, shown } from './scalars.js';
import { keyFix } from './spelling.js';

/** Makes a check run also where something inside is wrong already, so that every problem is said at once. */
export const ALWAYS = { when: () => true };

/** A mapping with these keys and no others. An unknown key is an error that names the nearest one. */
export function section<S extends z.core.$ZodLooseShape>(shape: S) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code === 'unrecognized_keys') {
        // One line a key, in the order of `issue.keys`; `problems` deals them out.
        return issue.keys.map((key) => keyFix(key, known)).join('\n');
      }
      return say(`${shown(issue.input)} is not a mapping`, `write keys and values: ${known.join(', ')}`);
    },
  });
}
