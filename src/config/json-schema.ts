import { z } from 'zod';
import { WHEN_TITLE } from './policy-schema.js';
import { schema } from './schema.js';

/** The JSON schema of the configuration file as it is written, for editors; ends with a newline. */
export function jsonSchemaText(): string {
  const json = z.toJSONSchema(schema, {
    io: 'input',
    override: ({ jsonSchema }) => {
      // `when` takes any key that begins with "meta.", which zod can only say as "any key".
      if (jsonSchema.title !== WHEN_TITLE) return;
      const text = { anyOf: [{ type: 'string' as const }, { type: 'number' as const }] };
      jsonSchema.patternProperties = { '^meta\\.': { anyOf: [...text.anyOf, { type: 'array', items: text }] } };
      jsonSchema.additionalProperties = false;
    },
  });
  const described = { $schema: json.$schema, title: 'Configuration of Barricata', ...json };
  return `${JSON.stringify(described, null, 2)}\n`;
}
