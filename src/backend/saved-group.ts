/** A saved group as Celery keeps it: `{"result": tuple}`. Source: protocol notes, redis.md §5.6. */
import { messageOf, UmbelError } from '../errors.ts';
import { encodeJson, parseJson } from '../protocol/json.ts';
import { type ResultTuple, readResultTuple } from '../protocol/result-tuple.ts';

export function savedGroup(group: ResultTuple): string {
  return encodeJson({ result: group });
}

/** Throws MESSAGE_UNDECODABLE. */
export function readSavedGroup(text: string): ResultTuple {
  let saved: unknown;
  try {
    saved = parseJson(text);
  } catch (error) {
    throw new UmbelError('MESSAGE_UNDECODABLE', `a saved group must be JSON: ${messageOf(error)}`, { cause: error });
  }
  if (typeof saved !== 'object' || saved === null || !('result' in saved)) {
    throw new UmbelError('MESSAGE_UNDECODABLE', `a saved group must have a result, got ${text.slice(0, 100)}`);
  }
  return readResultTuple(saved.result);
}
