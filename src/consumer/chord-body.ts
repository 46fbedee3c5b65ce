/**
 * The message of a chord's body, from what the child made of it and the results from the backend.
 *
 * Results stay text and go where the token stands. Only as much of them is read as Celery shows in `argsrepr`.
 */
import type { FollowUp } from '../pool/job.ts';
import { compress } from '../protocol/compression.ts';
import { parseJson } from '../protocol/json.ts';
import { sliceElements } from '../protocol/json-slice.ts';
import { ownHeaders } from '../protocol/named-headers.ts';
import { repr, reprArgs } from '../std/safe-repr.ts';

/** Characters of the results that are looked at for the display text, which has 1024 at most. */
const shownLength = 16_384;

/** `mark` is that of this sending. Throws NOT_SUPPORTED for a compression that is not built. */
export function withResults(followUp: FollowUp, resultsToken: string, resultsJson: string, mark: string): FollowUp {
  const { chord, ...meta } = followUp.meta;
  const text = followUp.body.toString('utf8').split(JSON.stringify(resultsToken)).join(resultsJson);
  let body = Buffer.from(text);
  let { headers } = meta;
  if (typeof headers?.argsrepr === 'string') {
    headers = { ...headers, argsrepr: headers.argsrepr.split(repr(resultsToken)).join(shownResults(resultsJson)) };
  }
  if (chord?.compression !== undefined) {
    const compressed = compress(body, chord.compression);
    body = Buffer.from(compressed.body);
    headers = { ...headers, compression: compressed.header };
  }
  return { meta: { ...meta, headers: { ...headers, [ownHeaders.once]: mark } }, body };
}

function shownResults(resultsJson: string): string {
  if (resultsJson.length <= shownLength) return shown(parseJson(resultsJson));
  const values: unknown[] = [];
  let length = 0;
  for (const element of sliceElements(resultsJson) ?? []) {
    length += element.length;
    if (length > shownLength) break;
    values.push(parseJson(element));
  }
  const text = shown(values);
  return text.endsWith(', ...]') ? text : `${text.slice(0, -1)}${values.length === 0 ? '' : ', '}...]`;
}

/** As the first of a task's arguments. */
function shown(results: unknown): string {
  const tuple = reprArgs([results]);
  return tuple.slice(1, tuple.endsWith(',)') ? -2 : -1);
}
