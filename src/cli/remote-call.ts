/**
 * What `umbel inspect`, `umbel control` and `umbel status` have in common: their options, the call, and how replies are shown.
 *
 * Output and exit statuses are Celery's. Nobody answered: status 69.
 */
import { listOf, text } from '../config/kind.ts';
import type { ControlCommand } from '../control/command.ts';
import { argumentsFrom, usageOf } from '../control/command-line.ts';
import { onlineCount, renderReply } from '../control/render-reply.ts';
import { exitStatus, UmbelError } from '../errors.ts';
import { builtinCommands, remoteCommands } from '../node/module-commands.ts';
import { openControl } from '../node/open-control.ts';
import type { ControlReply } from '../protocol/control-message.ts';
import { encodeJson } from '../protocol/json.ts';
import { didYouMean } from '../std/nearest-name.ts';
import type { CommandContext } from './command.ts';
import { valueOption } from './option-spec.ts';
import { jsonOption, timeoutOption } from './repeated-options.ts';

const timeout = timeoutOption('Wait so long for replies.', '1');
const destination = valueOption({
  names: ['-d', '--destination'],
  argument: 'NAMES',
  kind: listOf(text({ rule: 'the name of a node' }), 'node names'),
  doc: 'Only these nodes, separated by commas.',
});
const json = jsonOption('Print the replies as one line of JSON.');

export const remoteOptions = [timeout, destination, json];

type Kind = ControlCommand['kind'];

/** For help. */
export function describeCommands(kind: Kind, commands: readonly ControlCommand[] = builtinCommands): string {
  return commands
    .filter((command) => command.kind === kind && command.hidden !== true)
    .map((command) => `  ${usageOf(command)}\n      ${command.help}`)
    .join('\n');
}

/** The same, with those of the modules in the configuration. */
export async function describeAll(ctx: CommandContext, kind: Kind): Promise<string> {
  return describeCommands(kind, await remoteCommands(ctx.loadConfig()));
}

/** One of the remote commands of this kind, with its arguments. */
export async function callRemote(ctx: CommandContext, kind: Kind): Promise<number> {
  const [name = '', ...words] = ctx.args;
  const command = findCommand(await remoteCommands(ctx.loadConfig()), kind, name);
  const args = argumentsFrom(command, words);
  if (command.needsNodes !== undefined) await mustHaveNodes(ctx, name, command.needsNodes);
  const replies = await broadcast(ctx, name, args, command.timeoutSeconds ?? 1, (reply) => {
    if (ctx.option(json) !== true) ctx.stdout(renderReply(reply.nodeName, reply.value, true));
  });
  if (ctx.option(json) === true) {
    const values = replies.map(({ nodeName, value }) => ({ [nodeName]: value }));
    ctx.stdout(encodeJson(kind === 'inspect' ? Object.assign({}, ...values) : values));
  } else if (kind === 'inspect') ctx.stdout(onlineCount(replies.length));
  return exitStatus.ok;
}

/** Throws USAGE. */
async function mustHaveNodes(ctx: CommandContext, name: string, count: number): Promise<void> {
  const { length } = await broadcast(ctx, 'ping', {}, 1, () => {});
  if (length < count)
    throw new UmbelError('USAGE', `${name} needs at least ${count} nodes: a Python worker that is alone ends with it; ${length} replied`);
}

/** Which nodes there are. */
export async function showStatus(ctx: CommandContext): Promise<number> {
  const replies = await broadcast(ctx, 'ping', {}, 1, (reply) => {
    if (ctx.option(json) !== true) ctx.stdout(renderReply(reply.nodeName, reply.value, false));
  });
  // Celery says it behind the JSON as well; there it would break whatever reads that.
  if (ctx.option(json) === true) {
    ctx.stdout(encodeJson(Object.fromEntries(replies.map(({ nodeName, value }) => [nodeName, value]))));
    ctx.stderr(onlineCount(replies.length));
  } else ctx.stdout(onlineCount(replies.length));
  return exitStatus.ok;
}

function findCommand(commands: readonly ControlCommand[], kind: Kind, name: string): ControlCommand {
  const known = commands.filter((command) => command.kind === kind);
  const found = known.find((command) => command.name === name || command.aliases?.includes(name));
  if (found !== undefined) return found;
  const names = known.filter(({ hidden }) => hidden !== true).map((command) => command.name);
  throw new UmbelError(
    'USAGE',
    `a remote command must be one of ${names.join(', ')}, got ${JSON.stringify(name)}${didYouMean(name, names)}`,
  );
}

/** Throws NO_NODES_REPLIED. */
async function broadcast(
  ctx: CommandContext,
  method: string,
  args: Readonly<Record<string, unknown>>,
  defaultSeconds: number,
  onReply: (reply: ControlReply) => void,
): Promise<readonly ControlReply[]> {
  const { client, stop } = await openControl(ctx.loadConfig(), ctx.env);
  try {
    const replies = await client.broadcast(method, {
      arguments: args,
      destination: ctx.option(destination) ?? [],
      timeoutMs: (ctx.option(timeout) ?? defaultSeconds) * 1000,
      onReply,
    });
    if (replies.length === 0) throw new UmbelError('NO_NODES_REPLIED', 'No nodes replied within time constraint');
    return replies;
  } finally {
    await stop();
  }
}
