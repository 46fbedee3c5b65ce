/**
 * The headers a caller added to a task message beside the protocol's own.
 *
 * Source: messages.md §2.2 and §9.1 (headers of dead-lettering are the broker's and are not carried on).
 */
import { namedHeaders } from '../protocol/named-headers.ts';

const protocolHeaders: ReadonlySet<string> = new Set([...namedHeaders, 'x-death']);

export function customHeaders(headers: Readonly<Record<string, unknown>> | null): Record<string, unknown> {
  const custom: Record<string, unknown> = {};
  for (const name in headers) {
    if (!protocolHeaders.has(name) && !name.startsWith('x-first-death-') && !name.startsWith('x-last-death-')) custom[name] = headers[name];
  }
  return custom;
}
