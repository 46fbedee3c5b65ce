/**
 * Replies for people, as `celery inspect` and `celery control` print them, so that whoever reads or parses those is at home.
 *
 * Source: the output of Celery 5.2; protocol notes, control.md §7.
 */
import { isRecord } from '../std/is-record.ts';
import { pythonStr } from '../std/python-repr.ts';

/** `->  NODE: OK` and the reply below it. */
export function renderReply(nodeName: string, value: unknown, withBody: boolean): string {
  const isError = isRecord(value) && !('ok' in value) && 'error' in value;
  const head = `->  ${nodeName}: ${isError ? 'ERROR' : 'OK'}`;
  return withBody ? `${head}\n${indented(body(value), 4)}` : head;
}

/** With a blank line before it. */
export function onlineCount(count: number): string {
  return `\n${count} ${count === 1 ? 'node' : 'nodes'} online.`;
}

function body(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '- empty -' : value.map((item) => `* ${pythonStr(item)}`).join('\n');
  if (isRecord(value)) {
    const text = 'ok' in value ? value.ok : value.error;
    return 'ok' in value || 'error' in value ? indented(pythonStr(text), 4) : prettyJson(value);
  }
  return pythonStr(value);
}

/** As json.dumps(sort_keys=True, indent=4), and the line end that Celery's colours add. */
function prettyJson(value: unknown): string {
  return `${JSON.stringify(sorted(value), null, 4)}\n`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value === 'bigint') return Number(value);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

function indented(text: string, by: number): string {
  return text
    .split('\n')
    .map((line) => ' '.repeat(by) + line)
    .join('\n');
}
