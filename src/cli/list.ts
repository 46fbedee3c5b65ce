/** `umbel list bindings | queues`: what the broker has. */
import type { Broker } from '../broker/broker.ts';
import type { BoundQueue, OperatorChannel } from '../broker/operator-channel.ts';
import { exitStatus, UmbelError } from '../errors.ts';
import { configuredQueues, withBroker } from '../node/open-client.ts';
import { encodeJson } from '../protocol/json.ts';
import { didYouMean } from '../std/nearest-name.ts';
import type { Command, CommandContext } from './command.ts';
import { jsonOption } from './repeated-options.ts';

const json = jsonOption('Print JSON: an array of objects, on one line.');

type Listing = (ctx: CommandContext, channel: OperatorChannel, broker: Broker) => Promise<void>;

const listings: Readonly<Record<string, Listing>> = { bindings, queues };

export const command: Command = {
  arguments: ['<action>'],
  description: [
    'bindings  queue, exchange and routing key of each binding; not on RabbitMQ, which cannot be asked over AMQP',
    'queues    the queues, with their messages that are ready and, on RabbitMQ, their consumers: those of the configuration and all others the broker knows of. RabbitMQ can only be asked for those of the configuration, Redis for those that are bound',
  ]
    .map((line) => `  ${line}`)
    .join('\n'),
  examples: ['umbel list bindings', 'umbel list queues --json'],
  options: [json],
  settings: [],
  async run(ctx) {
    const [name = ''] = ctx.args;
    const listing = Object.hasOwn(listings, name) ? listings[name] : undefined;
    if (listing === undefined) {
      const hint = didYouMean(name, Object.keys(listings));
      throw new UmbelError('USAGE', `the action must be bindings or queues, got ${JSON.stringify(name)}${hint}`);
    }
    await withBroker(ctx.loadConfig(), ctx.env, async (broker) => {
      const channel = await broker.openOperatorChannel();
      await listing(ctx, channel, broker);
      await channel.close();
    });
    return exitStatus.ok;
  },
};

async function bindings(ctx: CommandContext, channel: OperatorChannel, broker: Broker): Promise<void> {
  const found = await channel.listBindings();
  if (found === null)
    throw new UmbelError(
      'NOT_SUPPORTED',
      `Your transport cannot list bindings: AMQP has no way to ask ${broker.displayUrl} for them; rabbitmqctl list_bindings does`,
    );
  const sorted = found.toSorted(
    (a, b) => compare(a.queue, b.queue) || compare(a.exchange, b.exchange) || compare(a.routingKey, b.routingKey),
  );
  if (ctx.option(json) === true) {
    const objects = sorted.map(({ queue, exchange, routingKey }) => ({ queue, exchange, routing_key: routingKey }));
    ctx.stdout(encodeJson(objects));
  } else table(ctx, ['Queue', 'Exchange', 'Routing Key'], sorted.map(columns));
}

function columns({ queue, exchange, routingKey }: BoundQueue): readonly string[] {
  return [queue, exchange, routingKey];
}

async function queues(ctx: CommandContext, channel: OperatorChannel, broker: Broker): Promise<void> {
  const known = await channel.listQueues();
  const names = new Set([...configuredQueues(ctx.loadConfig()).map(({ name }) => name), ...(known ?? [])]);
  const found: { queue: string; messages: number; consumers: number | null }[] = [];
  for (const queue of [...names].sort(compare)) {
    const state = await channel.lookAtQueue(queue);
    if (state !== null) found.push({ queue, messages: state.ready, consumers: state.consumers });
  }
  if (ctx.option(json) === true) ctx.stdout(encodeJson(found));
  else {
    const rows = found.map(({ queue, messages, consumers }) => [queue, String(messages), consumers === null ? '-' : String(consumers)]);
    table(ctx, ['Queue', 'Messages', 'Consumers'], rows);
  }
  if (known === null) ctx.stderr(`Only queues of the configuration: AMQP has no way to ask ${broker.displayUrl} which others there are.`);
}

/** As Celery prints bindings. */
function table(ctx: CommandContext, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const rule = head.map(() => '-'.repeat(16));
  for (const [first = '', second = '', third = ''] of [head, rule, ...rows])
    ctx.stdout(`${first.padEnd(28)} ${second.padEnd(28)} ${third}`.trimEnd());
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
