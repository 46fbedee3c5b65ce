/** `umbel ctl COMMAND`: remote control of a worker on this machine, through its socket, with the broker gone or not. */
import { existsSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { path as pathKind, text } from '../config/kind.ts';
import type { ControlCommand } from '../control/command.ts';
import { argumentsFrom, usageOf } from '../control/command-line.ts';
import { type LocalCommand, localCommands } from '../control/local-commands.ts';
import { renderReply } from '../control/render-reply.ts';
import { askLine } from '../driver/line-server.ts';
import { isListening } from '../driver/socket-path.ts';
import { exitStatus, messageOf, UmbelError } from '../errors.ts';
import { controlSocketPath, runtimeFolder } from '../node/local-control.ts';
import { builtinCommands, remoteCommands } from '../node/module-commands.ts';
import { encodeJson, parseJson } from '../protocol/json.ts';
import { didYouMean } from '../std/nearest-name.ts';
import { parseNodeName } from '../std/node-name.ts';
import type { Command, CommandContext } from './command.ts';
import { valueOption } from './option-spec.ts';
import { describeCommands } from './remote-call.ts';
import { jsonOption, timeoutOption } from './repeated-options.ts';

const nodeName = valueOption({
  names: ['-n', '--node'],
  argument: 'NAME',
  kind: text({ rule: 'the name of a node' }),
  doc: 'Which worker, where there are several.',
});
const socket = valueOption({
  names: ['--socket'],
  argument: 'PATH',
  kind: pathKind(),
  doc: 'Its socket, where it is not in the usual folder.',
});
const timeout = timeoutOption('Wait so long.', '5');
const json = jsonOption('Print the reply as one line of JSON.');

export const command: Command = {
  arguments: ['<command>', '[...arguments]'],
  description: describe(builtinCommands),
  describe: async (ctx) => describe(await remoteCommands(ctx.loadConfig())),
  examples: ['umbel ctl why', 'umbel ctl active -n worker1@shop.example'],
  options: [nodeName, socket, timeout, json],
  settings: [],
  async run(ctx) {
    const [name = '', ...words] = ctx.args;
    const asked = await findCommand(ctx, name);
    const wanted = wantedNode(ctx);
    const request = { method: name, arguments: argumentsFrom(asked, words), ...(wanted === undefined ? null : { node: wanted }) };
    const timeoutMs = (ctx.option(timeout) ?? asked.timeoutSeconds ?? 5) * 1000;
    const path = ctx.option(socket) ?? (await findSocket(ctx));
    const answer = await askLine(path, encodeJson(request), timeoutMs);
    const { node, value, another } = parseJson(answer) as { readonly node: string; readonly value: unknown; readonly another?: true };
    if (another === true) throw new UmbelError('LOCAL_UNREACHABLE', `the socket ${path} must be that of ${wanted}, got that of ${node}`);
    if (ctx.option(json) === true) ctx.stdout(encodeJson({ [node]: value }));
    else if (name === 'why' && isDone(value)) ctx.stdout(value.ok);
    else ctx.stdout(renderReply(node, value, true));
    return exitStatus.ok;
  },
};

function isDone(value: unknown): value is { readonly ok: string } {
  return typeof value === 'object' && value !== null && 'ok' in value && typeof value.ok === 'string';
}

/** Those of this machine alone, then those that work over the broker as well. */
function describe(commands: readonly ControlCommand[]): string {
  const local = localCommands.map((one) => `  ${usageOf(one)}\n      ${one.help}`);
  return [...local, describeCommands('inspect', commands), describeCommands('control', commands)].join('\n');
}

/** Throws USAGE. */
async function findCommand(ctx: CommandContext, name: string): Promise<ControlCommand | LocalCommand> {
  const local = localCommands.find((one) => one.name === name);
  if (local !== undefined) return local;
  // What every worker knows needs no configuration, which may be what is broken today.
  const builtin = builtinCommands.find(isCalled(name));
  if (builtin !== undefined) return builtin;
  const known = await remoteCommands(ctx.loadConfig());
  const found = known.find(isCalled(name));
  if (found !== undefined) return found;
  const names = [...localCommands, ...known].map((one) => one.name);
  throw new UmbelError('USAGE', `a command must be one of ${names.join(', ')}, got ${JSON.stringify(name)}${didYouMean(name, names)}`);
}

function isCalled(name: string): (command: ControlCommand) => boolean {
  return (command) => command.name === name || command.aliases?.includes(name) === true;
}

/** Throws USAGE, or LOCAL_UNREACHABLE. */
async function findSocket(ctx: CommandContext): Promise<string> {
  const config = configAtHand(ctx);
  const folder = runtimeFolder(ctx.env);
  const node = wantedNode(ctx);
  const named = config === null ? null : socketOf(config, node, ctx.env);
  if (named !== null) {
    const others = existsSync(named) || folder === null ? [] : await nodesIn(folder);
    if (node !== undefined || others.length === 0) return named;
    // Another one is not what was meant: the command may be to stop it.
    throw new UmbelError('LOCAL_UNREACHABLE', `no worker answers on ${named}; with -n there are ${others.join(', ')}`);
  }
  if (folder === null)
    throw new UmbelError('USAGE', 'no runtime folder is known (XDG_RUNTIME_DIR): name the socket of the worker with --socket');
  if (node !== undefined) return join(folder, `${node}.sock`);
  const nodes = await nodesIn(folder);
  const [only, ...others] = nodes;
  if (only === undefined) throw new UmbelError('LOCAL_UNREACHABLE', `no worker has a socket in ${folder}; name it with --socket`);
  if (others.length > 0) throw new UmbelError('USAGE', `which worker? Name it with -n: ${nodes.join(', ')}`);
  return join(folder, `${only}.sock`);
}

/** As a worker reads its own -n: `mail@%h`, or a host alone. Throws NAME_INVALID. */
function wantedNode(ctx: CommandContext): string | undefined {
  const name = ctx.option(nodeName);
  try {
    return name === undefined ? undefined : parseNodeName(name, hostname());
  } catch (error) {
    throw new UmbelError('NAME_INVALID', messageOf(error), { cause: error });
  }
}

/** null: there is none, or it is wrong; what runs must be asked all the same. */
function configAtHand(ctx: CommandContext): Config | null {
  try {
    return ctx.loadConfig();
  } catch {
    return null;
  }
}

/** The socket of the worker that the configuration is about; null: it names neither worker nor socket. */
function socketOf(config: Config, node: string | undefined, env: NodeJS.ProcessEnv): string | null {
  const { settings } = config;
  if (settings.worker_control_socket === null && (node !== undefined || config.origin('worker_hostname').kind === 'default')) return null;
  try {
    return controlSocketPath(settings, node ?? parseNodeName(settings.worker_hostname, hostname()), env);
  } catch {
    return null;
  }
}

/** Those whose sockets are there, and where there are several, only those that listen: workers that were killed have left theirs. */
async function nodesIn(folder: string): Promise<readonly string[]> {
  const nodes = socketsIn(folder).map((file) => file.slice(0, -'.sock'.length));
  if (nodes.length < 2) return nodes;
  const living = await Promise.all(nodes.map((node) => isListening(join(folder, `${node}.sock`))));
  return nodes.filter((_, index) => living[index]);
}

function socketsIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((file) => file.endsWith('.sock'));
  } catch {
    return [];
  }
}
