/** How a table is written where there is only text, in a variable or behind a flag: as JSON. */
import { Refusal } from './kind.ts';

export function readJsonText<T>(text: string, rule: string, readValue: (value: unknown) => T | Refusal): T | Refusal {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return new Refusal(`must be ${rule}, as JSON`);
  }
  return readValue(value);
}
