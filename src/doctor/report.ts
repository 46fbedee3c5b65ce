/** Findings as they are printed, for people and for programs, and the exit status they come to. */
import { exitStatus } from '../errors.ts';
import type { Finding } from './finding.ts';
import { findingTable } from './finding-table.ts';

/** A finding and the nodes it is of. */
export interface NodeFinding extends Finding {
  /** Empty: of the one worker there is, or of all of them. */
  readonly nodes: readonly string[];
}

/** What several nodes have in common is said once; errors first. */
export function collected(all: readonly { readonly node: string | null; readonly findings: readonly Finding[] }[]): readonly NodeFinding[] {
  const merged = new Map<string, { finding: Finding; nodes: string[] }>();
  for (const { node, findings } of all)
    for (const finding of findings) {
      const key = JSON.stringify([finding.code, finding.text, finding.place]);
      const same = merged.get(key) ?? { finding, nodes: [] };
      if (node !== null && !same.nodes.includes(node)) same.nodes.push(node);
      merged.set(key, same);
    }
  const rank = ({ code }: Finding): number => (findingTable[code].severity === 'error' ? 0 : 1);
  return [...merged.values()]
    .map(({ finding, nodes }) => ({ ...finding, nodes: nodes.length === all.length ? [] : nodes }))
    .sort((one, other) => rank(one) - rank(other));
}

export function textOf({ code, text, place, nodes }: NodeFinding): string {
  const { severity, fix } = findingTable[code];
  const of = nodes.length === 0 ? '' : ` [${nodes.join(', ')}]`;
  return `${severity} ${code}${of}: ${text}${place === null ? '' : ` (${place})`}\n  ${fix}`;
}

export function jsonOf({ code, text, place, nodes }: NodeFinding): string {
  const { severity, sentence, fix } = findingTable[code];
  return JSON.stringify({ code, severity, text, place, nodes, sentence, fix });
}

export function statusOf(findings: readonly Finding[]): number {
  if (findings.length === 0) return exitStatus.ok;
  return findings.some(({ code }) => findingTable[code].severity === 'error') ? exitStatus.critical : exitStatus.failure;
}
