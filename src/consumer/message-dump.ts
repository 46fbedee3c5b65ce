/** A message that no task is run for, as lines for people: enough of it to find its sender by. */
import type { Delivery } from '../broker/broker.ts';
import { escapeControls } from '../std/escape-controls.ts';
import { repr } from '../std/safe-repr.ts';

/** Characters of the body. */
const shownBodyLength = 1024;

export function messageDump(delivery: Delivery): string {
  const { properties, headers, body, exchange, routingKey } = delivery;
  const shown = body.toString('utf8', 0, shownBodyLength);
  return [
    `body: ${text(shown)} (${body.length}b)`,
    `{content_type:${text(properties.contentType)} content_encoding:${text(properties.contentEncoding)}`,
    `  delivery_info:${text({ exchange, routing_key: routingKey })} headers=${text(headers)}}`,
  ].join('\n');
}

function text(value: unknown): string {
  return escapeControls(repr(value));
}
