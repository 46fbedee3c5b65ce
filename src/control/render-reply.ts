/**
 * Replies for people, as `celery inspect` and `celery control` print them, so that whoever reads or parses those is at home.
 *
 * Source: the output of Celery 5.2; protocol notes, control.md §7.
 */
import { pythonText } from './command-failure.ts';

/** `->  NODE: OK` and the reply below it. */
export function renderReply(nodeName: string, value: unknown, withBody: boolean): string {
  const isError = isObject(value) && !('ok' in value) && 'error' in value;
  const head = `->  ${nodeName}: ${isError ? 'ERROR' : 'OK'}`;
  return withBody ? `${head}\n${indented(body(value), 4)}` : head;
}

/** With a blank line before it. */
export function onlineCount(count: number): string {
  return `\n${count} ${count === 1 ? 'node' : 'nodes'} online.`;
}

function body(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '- empty -' : value.map((item) => `* ${pythonStr(item)}`).join('\n');
  if (isObject(value)) {
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
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

/** As Python's str(): a text is itself, everything else as in a program. Whole, however long. */
function pythonStr(value: unknown): string {
  return typeof value === 'string' ? value : pythonRepr(value);
}

function pythonRepr(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'string') return pythonText(value);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(', ')}]`;
  if (!isObject(value)) return String(value);
  const entries = Object.entries(value).map(([key, item]) => `${pythonText(key)}: ${pythonRepr(item)}`);
  return `{${entries.join(', ')}}`;
}

function indented(text: string, by: number): string {
  return text
    .split('\n')
    .map((line) => ' '.repeat(by) + line)
    .join('\n');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
