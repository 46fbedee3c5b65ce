/**
 * Parts of a chord that were counted and are not there any more: which they are, and what their result documents make of them.
 *
 * Reads what storePartScript says of a loss; touches no server. Results stay text.
 */
import { chordMemberHead, decodeChordMember, encodeChordMember } from '../../protocol/chord-member.ts';
import { parseJson } from '../../protocol/json.ts';
import { sliceMember } from '../../protocol/json-slice.ts';
import { readyStates } from '../../protocol/result.ts';

/** 'lost', the members that are there, names and values of all that was seen. */
export type Loss = readonly ['lost', readonly unknown[], readonly unknown[]];

export interface MissingPart {
  readonly taskId: string;
  /** Its score. */
  readonly place: string;
}

export function isLoss(reply: readonly unknown[] | number): reply is Loss {
  return typeof reply !== 'number' && reply[0] === 'lost';
}

/** In the order of the group. */
export function missingParts([, members, seen]: Loss): MissingPart[] {
  const there = new Set(members.map((text) => decodeChordMember(String(text)).taskId));
  const missing: MissingPart[] = [];
  for (const [name, place] of pairsOf(seen)) {
    const taskId = name.slice(1);
    if (name.startsWith('p') && !there.has(taskId)) missing.push({ taskId, place });
  }
  return missing.sort((a, b) => order(a.place) - order(b.place));
}

/** Of which not even the ids are known: Python counted them. */
export function unknownParts([, members, seen]: Loss): number {
  const most = pairsOf(seen).find(([name]) => name === 'most')?.[1];
  return Math.max(1, Number(most ?? 0) - members.length);
}

/** Arguments of restorePartsScript for those that have a result, and the ids of the others. */
export function foundParts(
  missing: readonly MissingPart[],
  documents: ReadonlyMap<string, string>,
): { readonly found: readonly string[]; readonly lost: readonly string[] } {
  const found: string[] = [];
  const lost: string[] = [];
  for (const { taskId, place } of missing) {
    const member = memberOf(taskId, documents.get(taskId));
    if (member === null) lost.push(taskId);
    else found.push(place, chordMemberHead(taskId), member);
  }
  return { found, lost };
}

function memberOf(taskId: string, document: string | undefined): string | null {
  if (document === undefined) return null;
  const statusJson = sliceMember(document, 'status');
  const state = statusJson === null ? null : parseJson(statusJson);
  if (typeof state !== 'string' || !readyStates.has(state)) return null;
  return encodeChordMember({ taskId, state, resultJson: sliceMember(document, 'result') ?? 'null' });
}

function pairsOf(flat: readonly unknown[]): (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([String(flat[at]), String(flat[at + 1])]);
  return pairs;
}

function order(place: string): number {
  return place === '+inf' ? Number.MAX_VALUE : Number(place);
}
