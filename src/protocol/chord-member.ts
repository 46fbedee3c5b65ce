/**
 * A finished part of a chord as Celery's Redis backend keeps it: the JSON array `[1, "<task id>", "<state>", <result>]`.
 *
 * Written with Python's spacing, so that a part which was delivered to both sides is one member where its result is the same
 * text. The result stays text.
 * Source: protocol notes, redis.md §5.4.
 */
import { UmbelError } from '../errors.ts';
import { repr } from '../std/safe-repr.ts';
import { parseJson } from './json.ts';
import { sliceElements } from './json-slice.ts';

export interface ChordMember {
  readonly taskId: string;
  readonly state: string;
  readonly resultJson: string;
}

export function encodeChordMember({ taskId, state, resultJson }: ChordMember): string {
  return `${chordMemberHead(taskId)}${JSON.stringify(state)}, ${resultJson}]`;
}

/** What every member of this task begins with, whatever its result. */
export function chordMemberHead(taskId: string): string {
  return `[1, ${JSON.stringify(taskId)}, `;
}

/** Throws MESSAGE_UNDECODABLE. */
export function decodeChordMember(text: string): ChordMember {
  const elements = sliceElements(text);
  const [, id, stateText, resultJson] = elements ?? [];
  const taskId = id === undefined ? null : readText(id);
  const state = stateText === undefined ? null : readText(stateText);
  if (taskId === null || state === null || resultJson === undefined) {
    throw new UmbelError('MESSAGE_UNDECODABLE', `a part of a chord must be [1, id, state, result], got ${text.slice(0, 100)}`);
  }
  return { taskId, state, resultJson };
}

/** An exception document as Python prints the exception: ValueError('boom'). */
export function reprException(resultJson: string): string {
  let value: unknown;
  try {
    value = parseJson(resultJson);
  } catch {
    return resultJson;
  }
  if (typeof value !== 'object' || value === null || !('exc_type' in value)) return resultJson;
  const { exc_type: type, exc_message: message } = value as Record<string, unknown>;
  const args = Array.isArray(message) ? message : message === undefined || message === null ? [] : [message];
  // Of a nested class Python prints the last part.
  const name = String(type).slice(String(type).lastIndexOf('.') + 1);
  return `${name}(${args.map((argument) => (typeof argument === 'string' ? reprText(argument) : repr(argument))).join(', ')})`;
}

/** As Python's repr: single quotes unless only they occur inside. */
function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t');
  return `${quote}${quote === "'" ? escaped.replaceAll("'", "\\'") : escaped}${quote}`;
}

function readText(json: string): string | null {
  try {
    const value = parseJson(json);
    return typeof value === 'string' ? value : null;
  } catch {
    return null;
  }
}
