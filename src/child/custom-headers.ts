/**
 * The headers a caller added to a task message beside the protocol's own.
 *
 * Source: messages.md §2.2 and §9.1 (headers of dead-lettering are the broker's and are not carried on).
 */
import { namedHeaders } from '../protocol/named-headers.ts';

/** Ours: unix milliseconds by which a retry must begin (`retryFor`). A worker of Celery carries it on. */
export const retryUntilHeader = 'umbel_retry_until';

const protocolHeaders: ReadonlySet<string> = new Set([...namedHeaders, 'x-death', retryUntilHeader]);

export function customHeaders(headers: Readonly<Record<string, unknown>> | null): Record<string, unknown> {
  const custom: Record<string, unknown> = {};
  for (const name in headers) {
    if (!protocolHeaders.has(name) && !name.startsWith('x-first-death-') && !name.startsWith('x-last-death-')) custom[name] = headers[name];
  }
  return custom;
}
