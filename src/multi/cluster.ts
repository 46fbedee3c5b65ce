/**
 * Nodes together: start, signal, wait for, restart.
 *
 * Owns what is said while that happens (Celery's lines, and what stands in the way) and whether it went well. Nodes are found by their
 * pid files. Keeps nothing: every command looks anew.
 */
import { exitStatus, messageOf, UmbelError } from '../errors.ts';
import { type PidfileState, readPidfile } from '../os/pidfile.ts';
import { processIsAlive, processStat } from '../os/process-info.ts';
import type { Owner } from '../os/service-folder.ts';
import type { MultiNode } from './multi-node.ts';
import { startNode } from './node-process.ts';
import { runningTasks } from './running-tasks.ts';
import type { SignalChoice } from './signal-word.ts';
import type { Voice } from './voice.ts';

export interface ClusterParams {
  readonly nodes: readonly MultiNode[];
  readonly voice: Voice;
  readonly env: NodeJS.ProcessEnv;
  owner(node: MultiNode): Owner;
}

interface RunningNode {
  readonly node: MultiNode;
  readonly pid: number;
  /** With the pid it names the process; another one may get the pid. */
  readonly startTicks: number | undefined;
}

const pollMs = 50;
/** A dot as often as in Celery. */
const dotMs = 2000;
const firstTasksMs = 1000;
const nextTasksMs = 10_000;

export class Cluster {
  readonly #params: ClusterParams;
  /** Something did not go well. */
  #failed = false;

  /** Throws USAGE when there are no nodes, or two with one pid file. */
  constructor(params: ClusterParams) {
    this.#params = params;
    const files = new Map<string, string>();
    for (const { pidfile, name } of params.nodes) {
      const other = files.get(pidfile);
      if (other !== undefined)
        throw new UmbelError(
          'USAGE',
          `every node must have a pid file of its own, got ${pidfile} for ${other} and ${name} (%n is the name)`,
        );
      files.set(pidfile, name);
    }
    if (files.size === 0)
      throw new UmbelError('USAGE', 'umbel multi needs nodes: name them, or declare them in the configuration as [node.NAME]');
  }

  get status(): number {
    return this.#failed ? exitStatus.failure : exitStatus.ok;
  }

  async start(): Promise<void> {
    const { voice, nodes } = this.#params;
    voice.note('> Starting nodes...\n');
    for (const node of nodes) {
      voice.note(`\t> ${node.name}: `);
      await this.#start(node);
    }
  }

  /** `wait`: until they have ended. */
  async stop(signal: SignalChoice, wait: boolean): Promise<void> {
    await this.#stopNodes(this.#params.nodes, signal, wait, async (node, state) => {
      if (state !== null) this.#sayDown(node, state);
    });
  }

  kill(signal: SignalChoice): void {
    const { voice } = this.#params;
    for (const { node, pid } of this.#running(this.#params.nodes, (down, state) => this.#sayDown(down, state))) {
      voice.note(`Sending ${signal.name} to node ${node.name} (${pid})\n`);
      this.#send(node, pid, signal);
    }
  }

  /** `rolling`: one after the other, and no further when one does not come up. */
  async restart(signal: SignalChoice, rolling: boolean): Promise<void> {
    const { nodes, voice } = this.#params;
    const again = async (node: MultiNode): Promise<void> => {
      voice.note(voice.colored('blue', `> Restarting node ${node.name}: `));
      await this.#start(node);
    };
    if (!rolling) return this.#stopNodes(nodes, signal, true, again);
    for (const [index, node] of nodes.entries()) {
      await this.#stopNodes([node], signal, true, again);
      if (!this.#failed) continue;
      const left = nodes.slice(index + 1).map(({ name }) => name);
      if (left.length > 0) voice.carp(`Not restarted, because ${node.name} failed: ${left.join(', ')}`);
      return;
    }
  }

  async #start(node: MultiNode): Promise<void> {
    const { voice, env, owner } = this.#params;
    voice.info(`  ${node.shellLine}\n`);
    const { status, signal, said } = await startNode(node, env, () => owner(node));
    const failed = status !== 0 || signal !== null;
    if (signal !== null) voice.note(`* Child was terminated by signal ${signal}\n`);
    else if (failed) voice.note(`* Child terminated with exit code ${status}\n`);
    voice.note(`${failed ? voice.failed : voice.ok}\n`);
    if (failed) this.#failed = true;
    if (said.trim() !== '') voice.carp(said.trimEnd().replaceAll(/^/gm, '\t  '));
  }

  /** `onGone` for each that has ended, or is not there: then with what its pid file says. */
  async #stopNodes(
    nodes: readonly MultiNode[],
    signal: SignalChoice,
    wait: boolean,
    onGone: (node: MultiNode, state: PidfileState | null) => Promise<void>,
  ): Promise<void> {
    const { voice } = this.#params;
    const down: (readonly [MultiNode, PidfileState])[] = [];
    const running = this.#running(nodes, (node, state) => down.push([node, state]));
    for (const [node, state] of down) await onGone(node, state);
    if (running.length === 0) return;
    voice.note(`${voice.colored('blue', '> Stopping nodes...')}\n`);
    const left: RunningNode[] = [];
    for (const one of running) {
      voice.note(`\t> ${one.node.name}: ${signal.name} -> ${one.pid}\n`);
      const sent = this.#send(one.node, one.pid, signal);
      if (sent === 'sent') left.push(one);
      else if (sent === 'gone') await onGone(one.node, null);
    }
    if (wait) await this.#waitFor(left, (node) => onGone(node, null));
  }

  async #waitFor(nodes: RunningNode[], onGone: (node: MultiNode) => Promise<void>): Promise<void> {
    const { voice } = this.#params;
    const sayWaiting = (): void => {
      const count = `${nodes.length} ${nodes.length === 1 ? 'node' : 'nodes'}`;
      if (nodes.length > 0) voice.note(voice.colored('blue', `> Waiting for ${count} -> ${nodes.map(({ pid }) => pid).join(', ')}...`));
    };
    sayWaiting();
    let dotAtMs = performance.now() + dotMs;
    let tasksAtMs = performance.now() + firstTasksMs;
    while (nodes.length > 0) {
      const gone = nodes.find((one) => !isThere(one));
      if (gone !== undefined) {
        nodes.splice(nodes.indexOf(gone), 1);
        voice.note(`\n\t> ${gone.node.name}: ${voice.ok}\n`);
        await onGone(gone.node);
        sayWaiting();
        continue;
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs));
      if (performance.now() >= dotAtMs) {
        voice.note('.');
        dotAtMs += dotMs;
      }
      if (performance.now() >= tasksAtMs) {
        const said = await this.#sayTasks(nodes);
        tasksAtMs = performance.now() + (said ? nextTasksMs : firstTasksMs);
      }
    }
    voice.note('\n');
  }

  /** What the nodes still do. false, and nothing said: one of them has ended meanwhile. */
  async #sayTasks(nodes: readonly RunningNode[]): Promise<boolean> {
    const { voice, env } = this.#params;
    const ended = new AbortController();
    const look = setInterval(() => {
      if (nodes.some((one) => !isThere(one))) ended.abort();
    }, pollMs);
    const found = await Promise.all(nodes.map(async (one) => [one, await runningTasks(one.node, env, ended.signal)] as const));
    clearInterval(look);
    if (ended.signal.aborted) return false;
    for (const [{ node, pid }, tasks] of found) {
      const what = tasks === null ? 'does not say what it runs' : tasks.length === 0 ? 'runs nothing more' : `runs ${tasks.join(', ')}`;
      voice.note(`\n\t> ${node.name} (${pid}) ${what}`);
    }
    return true;
  }

  #running(nodes: readonly MultiNode[], onDown: (node: MultiNode, state: PidfileState) => void): readonly RunningNode[] {
    const running: RunningNode[] = [];
    for (const node of nodes) {
      const state = readPidfile(node.pidfile);
      if (state.kind === 'running') running.push({ node, pid: state.pid, startTicks: processStat(state.pid)?.startTicks });
      else onDown(node, state);
    }
    return running;
  }

  #sayDown(node: MultiNode, state: PidfileState): void {
    const { voice } = this.#params;
    const why =
      state.kind === 'stale'
        ? ` (stale pidfile ${node.pidfile}, pid ${state.pid})`
        : state.kind === 'broken'
          ? ` (broken pidfile ${node.pidfile})`
          : '';
    voice.note(`> ${node.name}: ${voice.down}${why}\n`);
  }

  #send(node: MultiNode, pid: number, signal: SignalChoice): 'sent' | 'gone' | 'refused' {
    const { voice } = this.#params;
    try {
      process.kill(pid, signal.number);
      return 'sent';
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ESRCH') {
        voice.note(`Could not signal ${node.name} (${pid}): No such process\n`);
        return 'gone';
      }
      voice.carp(`Could not signal ${node.name} (${pid}): ${messageOf(error)}`);
      this.#failed = true;
      return 'refused';
    }
  }
}

function isThere({ pid, startTicks }: RunningNode): boolean {
  return processIsAlive(pid) && processStat(pid)?.startTicks === startTicks;
}
