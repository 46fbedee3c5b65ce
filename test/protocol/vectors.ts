/** Reading the golden vectors, which lie beside the repository, and turning their messages into ours. */
import { existsSync, readFileSync } from 'node:fs';
import type { Test } from 'tap';
import { parseJson } from '../../src/protocol/json.ts';
import type { Message, MessageProperties } from '../../src/protocol/message.ts';

const folder = new URL('../../../shared/vectors/', import.meta.url);

/** null: not there, and the test was skipped; in CI their absence is a failure. */
export function loadVectors(t: Test, file: string): unknown {
  const url = new URL(file, folder);
  if (existsSync(url) || process.env.CI !== undefined) return parseJson(readFileSync(url, 'utf8'));
  t.plan(0, `${file} is not in ../shared/vectors`);
  return null;
}

export interface AmqpMessage {
  properties: Record<string, unknown>;
  headers: Record<string, unknown>;
  body_base64: string;
  body_text?: string;
}

export interface RedisMessage {
  raw: string;
  envelope: Record<string, unknown>;
  body_text?: string;
}

export interface TaskVector<T> {
  name: string;
  message?: T;
  messages?: T[];
}

export function messagesOf<T>(vector: TaskVector<T>): T[] {
  return vector.messages ?? [vector.message as T];
}

export function messageOfAmqp(vector: AmqpMessage): Message {
  const { content_type, content_encoding, correlation_id, reply_to, delivery_mode, priority, expiration } = vector.properties;
  const given = { correlationId: correlation_id, replyTo: reply_to, deliveryMode: delivery_mode, priority, expiration };
  const properties = {
    contentType: content_type,
    contentEncoding: content_encoding,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  } as unknown as MessageProperties;
  return { properties, headers: vector.headers, body: Buffer.from(vector.body_base64, 'base64') };
}
