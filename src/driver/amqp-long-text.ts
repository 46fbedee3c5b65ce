/** Texts that AMQP has only a byte for the length of: what is said of one that is longer. Pure; for when something has been refused, or before. */
import { escapeControls } from '../std/escape-controls.ts';
import type { RawPublish } from './amqp-raw.ts';

export const longestText = 255;

const nameOfField: Readonly<Partial<Record<keyof RawPublish, string>>> = {
  exchange: 'the name of the exchange',
  routingKey: 'the routing key',
  correlationId: 'the task id (correlation_id)',
  replyTo: 'the queue for the reply (reply_to)',
  contentType: 'the content type',
  contentEncoding: 'the content encoding',
  messageId: 'message_id',
  type: 'the property type',
  appId: 'app_id',
};

/** null: it is not too long. */
export function longText(what: string, value: unknown): string | null {
  if (typeof value !== 'string') return null;
  const bytes = Buffer.byteLength(value);
  return bytes <= longestText
    ? null
    : `${what} must have at most ${longestText} bytes, got ${bytes} ('${escapeControls(value.slice(0, 20))}…')`;
}

/** Of a message that amqplib has refused; null: it is for another reason. */
export function longTextOf(message: RawPublish): string | null {
  for (const [field, what] of Object.entries(nameOfField)) {
    const text = longText(what, message[field as keyof RawPublish]);
    if (text !== null) return text;
  }
  return null;
}
