/**
 * Every finding of `umbel check` and `umbel doctor`: one stable code, how bad it is, the sentence that explains it, and what to do.
 *
 * `docs/findings.md` is generated from it. Nobody matches on texts; a finding has besides the actual values and the place.
 */
import { checkFindings } from './check-findings.ts';
import { doctorFindings } from './doctor-findings.ts';
import type { FindingEntry } from './finding-entry.ts';

export const findingTable = { ...checkFindings, ...doctorFindings } as const satisfies Record<string, FindingEntry>;

export type FindingCode = keyof typeof findingTable;
