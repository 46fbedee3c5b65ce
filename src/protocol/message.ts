/**
 * A message as it travels through any broker: kombu's three layers (properties, headers, body).
 *
 * Owns the shape only. Brokers translate it to and from their wire form; nothing here knows what a task is.
 * Source: protocol notes, messages.md §1 and §2.1.
 */

/** The properties layer. Absent means "not sent". `extra` keeps properties with names of their own (kombu lets them through). */
export interface MessageProperties {
  readonly contentType: string;
  readonly contentEncoding: string;
  readonly correlationId?: string;
  readonly replyTo?: string;
  /** 1 transient, 2 persistent. */
  readonly deliveryMode?: 1 | 2;
  /** 0…9 (255 on RabbitMQ). */
  readonly priority?: number;
  /** Milliseconds left as a decimal string. */
  readonly expiration?: string;
  readonly extra?: Readonly<Record<string, unknown>>;
}

export interface Message {
  readonly properties: MessageProperties;
  /** null when the sender gave none; an empty object otherwise. */
  readonly headers: Readonly<Record<string, unknown>> | null;
  /** Serialized and possibly compressed; never parsed by brokers. */
  readonly body: Buffer;
}
