/** A delivery of a message in the plain form: its headers, properties and body are parsed when somebody asks for them. */
import type { Message, MessageProperties } from '../protocol/message.ts';
import type { PlainTask } from '../protocol/plain-task.ts';
import type { Delivery } from './broker.ts';

export class PlainDelivery implements Delivery {
  readonly plain: PlainTask;
  readonly tag: string | number;
  readonly queue: string;
  readonly epoch: number;
  readonly redelivered = false;
  readonly deliveryCount = null;
  readonly wasDeferred: boolean;

  constructor(plain: PlainTask, tag: string | number, queue: string, epoch: number, wasDeferred = false) {
    this.plain = plain;
    this.tag = tag;
    this.queue = queue;
    this.epoch = epoch;
    this.wasDeferred = wasDeferred;
  }

  get exchange(): string {
    return this.plain.exchange;
  }

  get routingKey(): string {
    return this.plain.routingKey;
  }

  get properties(): MessageProperties {
    return this.plain.properties;
  }

  get headers(): Message['headers'] {
    return this.plain.headers;
  }

  get body(): Buffer {
    return this.plain.body;
  }
}
