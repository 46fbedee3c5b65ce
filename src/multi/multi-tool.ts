/**
 * `umbel multi`: which command, for which nodes, with which signal.
 *
 * Owns the options of multi itself, and the order in which its words are read. What is done to running nodes is cluster.ts; this
 * file alone knows what the commands are called.
 */
import { exitStatus, UmbelError } from '../errors.ts';
import type { Owner } from '../os/service-folder.ts';
import { Cluster } from './cluster.ts';
import { type KnownOption, refuseMistakenWords } from './mistaken-words.ts';
import type { MultiNode, NodeFiles, Program } from './multi-node.ts';
import { nodeList } from './node-list.ts';
import { type OptionWords, readOptionWords } from './option-words.ts';
import { signalWord } from './signal-word.ts';
import { keepStarted, type ServiceNodes, type ServiceNodesParams, serviceNodes } from './started-nodes.ts';
import { multiHelp, multiUsage } from './usage.ts';
import { type MultiOutput, Voice } from './voice.ts';

export interface MultiParams {
  /** What stands after `umbel multi`, and then what stands before `multi`. */
  readonly words: readonly string[];
  readonly stdout: MultiOutput;
  readonly stderr: MultiOutput;
  readonly color: boolean;
  readonly version: string;
  readonly hostname: string;
  readonly program: Program;
  /** Names of the nodes that the configuration declares. Throws what is wrong with it. */
  declared(): readonly string[];
  /** Files of a node for which no option says. */
  files(nodeName: string): NodeFiles;
  /** What relative names of files are relative to, with the value of --workdir. */
  folder(workdir: string | null): string;
  /** Whose folders are that have to be made for a node. */
  owner(node: MultiNode): Owner;
  /** Options of a worker and of multi that the words can have. */
  readonly known: readonly KnownOption[];
  /** Of the processes that are started. */
  readonly env: NodeJS.ProcessEnv;
}

const defaultCommand = 'worker --detach';

export async function runMulti(params: MultiParams): Promise<number> {
  const words = [...params.words];
  /** Each once, wherever it stands. */
  const take = (...options: readonly string[]): boolean =>
    options.filter((option) => {
      const at = words.indexOf(option);
      if (at >= 0) words.splice(at, 1);
      return at >= 0;
    }).length > 0;
  const voice = new Voice({
    stdout: params.stdout,
    stderr: params.stderr,
    version: params.version,
    nosplash: take('--nosplash'),
    quiet: take('--quiet', '-q'),
    verbose: take('--verbose'),
    color: !take('--no-color') && params.color,
  });
  const nodesFile = takeNodesFile(words);
  const [command, ...rest] = words;
  if (command === undefined || command.startsWith('-')) return usage(voice);

  const readNodes = (
    given: readonly string[],
    purpose: ServiceNodesParams['purpose'],
    check: (words: OptionWords) => void = () => {},
  ): ServiceNodes => {
    const read = readOptionWords(given);
    check(read);
    const { hostname, program, declared, files, folder } = params;
    const list = (own: OptionWords): readonly MultiNode[] =>
      nodeList({ words: own, hostname, program, command: defaultCommand, declared, files, folder });
    if (nodesFile === null) return { own: list(read), gone: [] };
    if (read.names.length > 0)
      throw new UmbelError('USAGE', `--nodes-file is for commands without names, got ${read.names.join(' ')} (umbel multi)`);
    return serviceNodes({
      path: nodesFile,
      purpose,
      declared,
      nodes: (names) => list({ ...read, names }),
      formerNodes: (names) => list({ ...read, names, forSome: new Map() }),
    });
  };
  const nodes = (given: readonly string[]): readonly MultiNode[] => {
    const { own, gone } = readNodes(given, 'look');
    return [...own, ...gone];
  };

  switch (command) {
    case 'names':
      voice.say(
        nodes(rest)
          .map((node) => node.name)
          .join('\n'),
      );
      return exitStatus.ok;
    case 'show':
      voice.say(
        nodes(rest)
          .map((node) => node.shellLine)
          .join('\n'),
      );
      return exitStatus.ok;
    case 'get': {
      const [wanted, others] = firstWord(rest, 'get needs the name of a node');
      const node = nodes(others).find(({ name }) => name === wanted);
      if (node === undefined) return exitStatus.failure;
      voice.say(node.line);
      return exitStatus.ok;
    }
    case 'expand': {
      const [template, others] = firstWord(rest, 'expand needs a template');
      voice.say(
        nodes(others)
          .map((node) => node.expand(template))
          .join('\n'),
      );
      return exitStatus.ok;
    }
    case 'help':
      voice.say(multiHelp);
      return exitStatus.ok;
    case 'start':
    case 'restart':
    case 'stop':
    case 'stopwait':
    case 'stop_verify':
    case 'kill': {
      // A worker would answer and end well, as if it were ready; and a command that stops would have stopped every node there is.
      const ahead = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
      if (ahead.includes('--help') || ahead.includes('-h')) {
        voice.say(multiHelp);
        return exitStatus.ok;
      }
      if (ahead.includes('--version')) {
        voice.say(`umbel ${params.version}`);
        return exitStatus.ok;
      }
      // Only here: elsewhere such a word is an option like any other.
      const rolling = rest.includes('--rolling');
      if (rolling && command !== 'restart') throw new UmbelError('USAGE', `--rolling is for restart, got ${command} (umbel multi)`);
      const own = rolling ? rest.filter((word) => word !== '--rolling') : rest;
      const waits = command !== 'start' && command !== 'stop' && command !== 'kill';
      const signal = command === 'start' ? null : signalWord(command === 'kill' ? [...own, '-KILL'] : own, waits);
      const starts = command === 'start' || command === 'restart';
      // A service without names means all there are; whoever types does not always.
      const declared = nodesFile === null ? params.declared : () => [];
      const check = (read: OptionWords): void => refuseMistakenWords({ words: read, known: params.known, starts, declared });
      const meant = readNodes(signal?.words ?? own, starts ? 'start' : 'stop', check);
      // What is wrong with the command line of one is said before another is stopped or started.
      if (starts) for (const node of meant.own) void node.argv;
      const clusterOf = (members: readonly MultiNode[]) => new Cluster({ nodes: members, voice, env: params.env, owner: params.owner });
      const cluster = clusterOf(starts ? meant.own : [...meant.own, ...meant.gone]);
      if (starts && nodesFile !== null) keepStarted(nodesFile, meant);
      voice.splash();
      if (signal === null) await cluster.start();
      else if (command === 'kill') cluster.kill(signal);
      else if (command === 'restart') {
        const former = meant.gone.length === 0 ? null : clusterOf(meant.gone);
        await former?.stop(signal, true);
        await cluster.restart(signal, rolling);
        return former?.status || cluster.status;
      } else await cluster.stop(signal, waits);
      return cluster.status;
    }
    default:
      voice.carp(`Invalid command: ${command}`);
      return usage(voice);
  }
}

/** Takes it out of the words. Throws USAGE. */
function takeNodesFile(words: string[]): string | null {
  const option = '--nodes-file';
  const at = words.findIndex((word) => word === option || word.startsWith(`${option}=`));
  if (at < 0 || (words.includes('--') && words.indexOf('--') < at)) return null;
  const [word = ''] = words.splice(at, 1);
  const path = word.slice(option.length + 1);
  if (path === '') throw new UmbelError('USAGE', `${option} must have a value, written ${option}=PATH, got ${word} (umbel multi)`);
  return path;
}

function usage(voice: Voice): number {
  voice.splash();
  voice.say(multiUsage);
  return exitStatus.usage;
}

function firstWord(words: readonly string[], rule: string): readonly [string, readonly string[]] {
  const [first, ...others] = words;
  if (first === undefined) throw new UmbelError('USAGE', `${rule}, got nothing (umbel multi)`);
  return [first, others];
}
