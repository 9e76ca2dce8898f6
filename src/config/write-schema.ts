/** Writes `config/barricata.schema.json` from the schema: `npm run build && node dist/config/write-schema.js`. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { jsonSchemaText } from './json-schema.js';

writeFileSync(fileURLToPath(new URL('../../config/barricata.schema.json', import.meta.url)), jsonSchemaText());
