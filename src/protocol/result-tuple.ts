/**
 * Result handles as JSON: `AsyncResult.as_tuple()` and `GroupResult.as_tuple()`.
 *
 * Source: protocol notes, results.md §4 and redis.md §5.6.
 */
import { UmbelError } from '../errors.ts';

/** `[[id, parent], null]` is a task, `[[group id, parent], [child, …]]` a group. */
export type ResultTuple = readonly [readonly [string, ResultTuple | null], readonly ResultTuple[] | null];

/** Deeper structures are refused. */
const maxDepth = 500;

/** A tuple as read from JSON; a bare text is a task id (old form). Throws MESSAGE_UNDECODABLE. */
export function readResultTuple(value: unknown, depth = 0): ResultTuple {
  if (typeof value === 'string') return [[value, null], null];
  if (depth > maxDepth)
    throw new UmbelError('MESSAGE_UNDECODABLE', `a result tuple may be nested ${maxDepth} levels deep, got a deeper one`);
  if (!Array.isArray(value)) throw malformed(value);
  const [head, children]: unknown[] = value;
  const [id, parent]: unknown[] = Array.isArray(head) ? head : [head];
  if (typeof id !== 'string') throw malformed(value);
  const readParent = parent === null || parent === undefined ? null : readResultTuple(parent, depth + 1);
  if (children === null || children === undefined) return [[id, readParent], null];
  if (!Array.isArray(children)) throw malformed(value);
  return [[id, readParent], children.map((child) => readResultTuple(child, depth + 1))];
}

/** Ids of the tasks in it, from left to right; parents are not looked at. */
export function taskIdsOf(tuple: ResultTuple): string[] {
  const [[id], children] = tuple;
  return children === null ? [id] : children.flatMap(taskIdsOf);
}

function malformed(value: unknown): UmbelError {
  return new UmbelError(
    'MESSAGE_UNDECODABLE',
    `a result tuple must be [[id, parent], children], got ${String(JSON.stringify(value)).slice(0, 100)}`,
  );
}
