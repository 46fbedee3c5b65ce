/** What a check has found: which rule of the table is broken, with what, and where. */
import type { FindingCode } from './finding-table.ts';

export interface Finding {
  readonly code: FindingCode;
  /** The rule, with actual values. */
  readonly text: string;
  /** `umbel.toml:12`, `--pidfile`, a server or a file; null: nowhere in particular. */
  readonly place: string | null;
}

export function found(code: FindingCode, text: string, place: string | null = null): Finding {
  return { code, text, place };
}
