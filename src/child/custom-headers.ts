/**
 * The headers a caller added to a task message beside the protocol's own.
 *
 * Source: messages.md §2.2 and §9.1 (headers of dead-lettering are the broker's and are not carried on).
 */

const protocolHeaders: ReadonlySet<string> = new Set([
  'lang',
  'task',
  'id',
  'shadow',
  'eta',
  'expires',
  'group',
  'group_index',
  'retries',
  'timelimit',
  'root_id',
  'parent_id',
  'argsrepr',
  'kwargsrepr',
  'origin',
  'ignore_result',
  'replaced_task_nesting',
  'stamped_headers',
  'stamps',
  'compression',
  'redelivered',
  'x-death',
]);

export function customHeaders(headers: Readonly<Record<string, unknown>> | null): Record<string, unknown> {
  const custom: Record<string, unknown> = {};
  for (const name in headers) {
    if (!protocolHeaders.has(name) && !name.startsWith('x-first-death-') && !name.startsWith('x-last-death-')) custom[name] = headers[name];
  }
  return custom;
}
