/** `umbel amqp`: the operations of AMQP by hand, one of them, or one after the other in a shell. */
import type { Broker } from '../broker/broker.ts';
import type { OperatorChannel } from '../broker/operator-channel.ts';
import { exitStatus, messageOf, UmbelError } from '../errors.ts';
import { splitShellWords } from '../multi/shell-words.ts';
import { openOperatorBroker } from '../node/open-client.ts';
import { didYouMean } from '../std/nearest-name.ts';
import { type AmqpOperation, amqpOperations, nameOfOperation, runOperation } from './amqp-operations.ts';
import type { Command, CommandContext } from './command.ts';

const ends: readonly string[] = ['exit', 'quit'];
const shellWords: readonly string[] = [...amqpOperations.map(nameOfOperation), 'connect', 'reconnect', 'help', ...ends];

export const command: Command = {
  arguments: ['[command]', '[...arguments]'],
  description: [
    ...amqpOperations.map(({ usage }) => `  ${usage}`),
    '  repl',
    '      A shell: the operations above, and connect, reconnect, help, exit. So it is without a command; lines piped in are read like typed ones.',
    'What is yes or no is no when it is left out. A message that was got and not acknowledged is back in its queue when the command ends. What the broker lacks is an error. Redis and the embedded broker keep bindings alone: an exchange without any is there only in the shell that has declared it.',
  ].join('\n'),
  examples: ['umbel amqp queue.declare mail', 'umbel amqp basic.get celery yes', 'umbel amqp'],
  options: [],
  settings: [],
  async run(ctx) {
    const [name, ...words] = ctx.args;
    if (name === undefined || name === 'repl') {
      if (words.length > 0) throw new UmbelError('USAGE', `repl takes no arguments, got ${words.join(' ')}`);
      return new AmqpShell(ctx).run();
    }
    const operation = operationNamed(name, [...amqpOperations.map(nameOfOperation), 'repl']);
    const connection = await OperatorConnection.open(ctx);
    try {
      for (const line of await runOperation(operation, connection.channel, words)) ctx.stdout(line);
    } finally {
      await connection.close();
    }
    return exitStatus.ok;
  },
};

function operationNamed(name: string, known: readonly string[]): AmqpOperation {
  const found = amqpOperations.find((operation) => nameOfOperation(operation) === name);
  if (found !== undefined) return found;
  throw new UmbelError('USAGE', `a command must be one of ${known.join(', ')}, got ${JSON.stringify(name)}${didYouMean(name, known)}`);
}

class OperatorConnection {
  readonly channel: OperatorChannel;
  readonly #broker: Broker;

  private constructor(broker: Broker, channel: OperatorChannel) {
    this.#broker = broker;
    this.channel = channel;
  }

  static async open(ctx: CommandContext): Promise<OperatorConnection> {
    const broker = openOperatorBroker(ctx.loadConfig(), ctx.env);
    ctx.stderr(`-> connecting to ${broker.displayUrl}.`);
    await broker.start();
    ctx.stderr('-> connected.');
    return new OperatorConnection(broker, await broker.openOperatorChannel());
  }

  /** What was got and not acknowledged goes back. */
  async close(): Promise<void> {
    await this.channel.close();
    await this.#broker.stop();
  }
}

/** Goes on after an error, as Celery's does; that there was one is the exit status where nobody types. */
class AmqpShell {
  readonly #ctx: CommandContext;
  #connection: OperatorConnection | null = null;
  #failed = false;

  constructor(ctx: CommandContext) {
    this.#ctx = ctx;
  }

  async run(): Promise<number> {
    await this.#try(() => this.#connect());
    try {
      for await (const line of this.#ctx.lines({ prompt: '> ', words: shellWords })) {
        if (ends.includes(line.trim())) break;
        await this.#try(() => this.#carryOut(line));
      }
    } finally {
      await this.#connection?.close();
    }
    return this.#failed && !this.#ctx.isTyped ? exitStatus.failure : exitStatus.ok;
  }

  async #carryOut(line: string): Promise<void> {
    const [name, ...words] = splitShellWords(line);
    if (name === undefined) return;
    if (name === 'connect' || name === 'reconnect') return this.#connect();
    if (name === 'help') {
      for (const { usage } of amqpOperations) this.#ctx.stdout(usage);
      this.#ctx.stdout('connect\nreconnect\nhelp\nexit');
      return;
    }
    const operation = operationNamed(name, shellWords);
    if (this.#connection === null) throw new UmbelError('BROKER_UNAVAILABLE', 'Not connected to broker. Please retry with connect');
    for (const line of await runOperation(operation, this.#connection.channel, words)) this.#ctx.stdout(line);
  }

  /** Anew, where there is a connection. */
  async #connect(): Promise<void> {
    await this.#connection?.close();
    this.#connection = null;
    this.#connection = await OperatorConnection.open(this.#ctx);
  }

  async #try(step: () => Promise<void>): Promise<void> {
    const before = this.#connection?.channel.held ?? 0;
    try {
      await step();
    } catch (error) {
      this.#failed = true;
      this.#ctx.problem(`ERROR: ${messageOf(error)}${error instanceof UmbelError ? ` [${error.code}]` : ''}`);
      const returned = before - (this.#connection?.channel.held ?? 0);
      if (returned > 0) this.#ctx.problem(`What was got and not acknowledged is back in its queue: ${returned}.`);
    }
  }
}
