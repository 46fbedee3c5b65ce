/**
 * The mailbox (pidbox): hears requests of remote control, has the panel answer those that are for this node, and sends the replies.
 *
 * Owns its listener and nothing else. A message that is no request, or of a content type that is not accepted, is said and ignored.
 * Source: protocol notes, amqp.md §5, redis.md §4, control.md §1.
 */
import type { Broker, Listener } from '../broker/broker.ts';
import { messageOf } from '../errors.ts';
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';
import { type ControlRequest, encodeReply, isAddressed, nodeQueue, readRequest, requestExchange } from '../protocol/control-message.ts';
import type { Message } from '../protocol/message.ts';
import { repr } from '../std/safe-repr.ts';
import { noReply } from './command.ts';
import { errorText } from './command-failure.ts';
import type { ControlSurface } from './control-surface.ts';
import type { Panel } from './panel.ts';

export interface MailboxParams {
  readonly broker: Broker;
  readonly panel: Panel;
  readonly surface: ControlSurface;
  /** The setting `control_exchange`. */
  readonly namespace: string;
  readonly acceptContent: readonly string[];
  readonly queueExpiresMs: number;
  readonly queueTtlMs: number;
  readonly log: Logger;
}

export class Mailbox implements Component {
  readonly name = 'mailbox';
  readonly #params: MailboxParams;
  #listener: Listener | null = null;

  constructor(params: MailboxParams) {
    this.#params = params;
  }

  async start(): Promise<void> {
    const { broker, namespace, surface, queueExpiresMs, queueTtlMs, log } = this.#params;
    this.#listener = await broker.listen({
      exchange: requestExchange(namespace),
      exchangeType: 'fanout',
      routingKey: '',
      queue: {
        name: nodeQueue(surface.nodeName, namespace),
        expiresMs: queueExpiresMs,
        messageTtlMs: queueTtlMs,
        onShared: () =>
          log.warning(
            'control.shared-name',
            `A node named ${surface.nodeName} is already using this process mailbox! Maybe you forgot to shutdown the other node or did not do so properly? Or if you meant to start multiple nodes on the same host please make sure you give each node a unique node name!`,
          ),
      },
      onMessage: (message) => this.#onMessage(message),
    });
  }

  async stop(): Promise<void> {
    await this.#listener?.stop();
    this.#listener = null;
  }

  #onMessage(message: Message): void {
    const { surface, acceptContent, log } = this.#params;
    surface.clock.adjust(message.headers?.clock);
    let request: ControlRequest;
    try {
      request = readRequest(message, acceptContent);
    } catch (error) {
      log.error('control.undecodable', `Cannot decode message: ${messageOf(error)}`);
      return;
    }
    if (isAddressed(surface.nodeName, request)) void this.#answer(request);
  }

  async #answer({ method, arguments: args, ticket, replyTo }: ControlRequest): Promise<void> {
    const { surface, panel, broker, log } = this.#params;
    log.debug(
      'control.request',
      `pidbox received method ${method}(${repr(args)}) [reply_to:${replyTo?.routingKey ?? 'None'} ticket:${ticket ?? 'None'}]`,
    );
    const value = await panel.call(surface, method, args, (error) =>
      log.error('control.failed', `pidbox command error: ${errorText(error)}`, { method }),
    );
    if (replyTo === null || value === noReply) return;
    try {
      await broker.publish(this.#reply(value, ticket), replyTo);
    } catch (error) {
      log.warning('control.no-reply', `The reply to ${method} could not be sent: ${messageOf(error)}`, { method });
    }
  }

  /** A value that cannot be sent is an error of the command. */
  #reply(value: unknown, ticket: string | null): Message {
    const { surface } = this.#params;
    const clock = surface.clock.forward();
    try {
      return encodeReply(surface.nodeName, value, ticket, clock);
    } catch (error) {
      return encodeReply(surface.nodeName, { error: errorText(error) }, ticket, clock);
    }
  }
}
