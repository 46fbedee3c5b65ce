/** A message on its way through a subscription: what the consumer sees, and the tag it has on its channel. */
import type { RawMessage } from '../../driver/amqp-raw.ts';
import type { MessageProperties } from '../../protocol/message.ts';
import type { Delivery } from '../broker.ts';
import { withoutDelayWords } from './native-delay.ts';
import { type PlacedMessage, restored } from './parked-message.ts';
import { fromWire } from './wire-message.ts';

export class AmqpDelivery implements Delivery {
  readonly properties: MessageProperties;
  readonly headers: Readonly<Record<string, unknown>> | null;
  readonly body: Buffer;
  readonly tag: number;
  readonly queue: string;
  readonly exchange: string;
  readonly routingKey: string;
  readonly redelivered: boolean;
  readonly deliveryCount: number | null;
  readonly epoch: number;
  readonly wasDeferred: boolean;

  private constructor(delivery: Delivery, tag: number) {
    this.properties = delivery.properties;
    this.headers = delivery.headers;
    this.body = delivery.body;
    this.tag = tag;
    this.queue = delivery.queue;
    this.exchange = delivery.exchange;
    this.routingKey = delivery.routingKey;
    this.redelivered = delivery.redelivered;
    this.deliveryCount = delivery.deliveryCount;
    this.epoch = delivery.epoch;
    this.wasDeferred = delivery.wasDeferred ?? false;
  }

  static received(raw: RawMessage, queue: string, epoch: number): AmqpDelivery {
    const { fields } = raw;
    const received = {
      headers: raw.properties.headers ?? null,
      exchange: fields.exchange,
      routingKey: withoutDelayWords(fields.routingKey),
      redelivered: fields.redelivered,
    };
    const { headers, exchange, routingKey, redelivered, expiration }: PlacedMessage = restored(received) ?? received;
    const properties = fromWire(raw.properties);
    const count = headers?.['x-delivery-count'];
    const delivery: Delivery = {
      properties: expiration === undefined ? properties : { ...properties, expiration },
      headers,
      body: raw.content,
      tag: fields.deliveryTag,
      queue,
      exchange,
      routingKey,
      redelivered: redelivered || (typeof count === 'number' && count > 0),
      deliveryCount: typeof count === 'number' ? count : null,
      epoch,
    };
    return new AmqpDelivery(delivery, fields.deliveryTag);
  }

  /** A delivery of the plain form as any other. */
  static of(delivery: Delivery): AmqpDelivery {
    return delivery instanceof AmqpDelivery ? delivery : new AmqpDelivery(delivery, delivery.tag as number);
  }

  /** The same message for another time, deferred, as another delivery. Its body no longer keeps the whole chunk alive that it came in. */
  fresh(): AmqpDelivery {
    return new AmqpDelivery({ ...this, body: Buffer.from(this.body), wasDeferred: true }, this.tag);
  }
}
