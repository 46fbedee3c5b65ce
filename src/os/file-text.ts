/** What stands in a file; nothing when it cannot be read. */
import { readFileSync } from 'node:fs';

export function fileText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
