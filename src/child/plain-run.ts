/** A run whose message came in the plain form: what else the message says is read when the task asks for it. */
import type { DeliveryInfo, RunMeta } from '../ipc/exchange.ts';
import type { Message, MessageProperties } from '../protocol/message.ts';
import type { PlainTask } from '../protocol/plain-task.ts';

export class PlainRun implements RunMeta {
  readonly #plain: PlainTask;

  constructor(plain: PlainTask) {
    this.#plain = plain;
  }

  get headers(): Message['headers'] {
    return this.#plain.headers;
  }

  get properties(): MessageProperties {
    return this.#plain.properties;
  }

  get deliveryInfo(): DeliveryInfo {
    const { exchange, routingKey, priority } = this.#plain;
    return { exchange, routing_key: routingKey, priority, redelivered: false };
  }
}
