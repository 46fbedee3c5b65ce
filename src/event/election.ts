/**
 * Elections: all nodes are told to elect one of themselves to do something; each votes, and the vote with the lowest clock wins.
 *
 * Owns the votes. A Python worker counts acknowledgements and ends itself when it has enough of them and one vote alone: none is sent before
 * there are two votes. Source: protocol notes, control.md §5 (election).
 */
import type { Logger } from '../log/logger.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import { repr } from '../std/safe-repr.ts';
import type { ReceivedEvent } from './receiver.ts';

export interface ElectionsParams {
  /** `host.pid` of ours: how voters are called. */
  readonly node: string;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Live neighbours: each will vote. */
  peers(): number;
  send(type: string, fields: Readonly<Record<string, unknown>>): void;
  /** We have won. */
  won(topic: string, action: unknown): void;
}

interface Vote {
  readonly clock: number;
  readonly node: string;
  readonly topic: unknown;
  readonly action: unknown;
}

interface Election {
  readonly votes: Vote[];
  acknowledged: number;
  /** We were told to vote. */
  isOurs: boolean;
  readonly timer: Timer;
}

/** After this, who has not voted has no vote. */
const votingMs = 2000;
const mostElections = 1000;

export class Elections {
  readonly #params: ElectionsParams;
  readonly #clock: Clock;
  readonly #open = new Map<string, Election>();
  /** Decided, so that late votes open none anew; oldest first. */
  readonly #decided = new Set<string>();

  constructor(params: ElectionsParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
  }

  stop(): void {
    for (const { timer } of this.#open.values()) this.#clock.clearTimer(timer);
    this.#open.clear();
  }

  /** Vote. The outcome is known when the votes are heard. */
  call(id: string, topic: string, action: unknown): void {
    const election = this.#electionOf(id);
    if (election === null || election.isOurs) return;
    election.isOurs = true;
    this.#params.send('worker-elect', { id, topic, action, cver: 1 });
  }

  onElect({ id, topic, action, clock, hostname, pid, cver }: ReceivedEvent): void {
    if (typeof id !== 'string' || typeof hostname !== 'string' || pid === undefined || topic === undefined || cver === undefined) {
      this.#params.log.error('gossip.invalid', 'election request without id, topic, cver, hostname or pid');
      return;
    }
    const election = this.#electionOf(id);
    if (election === null) return;
    election.votes.push({ clock, node: `${hostname}.${pid}`, topic, action });
    if (election.votes.length > 1)
      for (; election.acknowledged < election.votes.length; election.acknowledged++) this.#params.send('worker-elect-ack', { id });
    if (election.votes.length > this.#params.peers()) this.#decide(id, election);
  }

  /** null: it is over, or there are too many. */
  #electionOf(id: string): Election | null {
    const known = this.#open.get(id);
    if (known !== undefined) return known;
    if (this.#decided.has(id) || this.#open.size >= mostElections) return null;
    const timer = this.#clock.setTimer(() => this.#decide(id, election), votingMs, { ref: false });
    const election: Election = { votes: [], acknowledged: 0, isOurs: false, timer };
    this.#open.set(id, election);
    return election;
  }

  #decide(id: string, { votes, isOurs, timer }: Election): void {
    this.#clock.clearTimer(timer);
    this.#open.delete(id);
    this.#decided.add(id);
    const [oldest] = this.#decided;
    if (this.#decided.size > mostElections && oldest !== undefined) this.#decided.delete(oldest);
    const { log, node, won } = this.#params;
    const [leader] = votes.sort((a, b) => a.clock - b.clock || (a.node < b.node ? -1 : 1));
    if (!isOurs || leader === undefined) return;
    if (leader.node !== node) {
      log.info('gossip.elected', `node ${leader.node} elected for ${repr(id)}`, { id, leader: leader.node });
      return;
    }
    log.info('gossip.elected', `I won the election ${repr(id)}`, { id, leader: node });
    won(String(leader.topic), leader.action);
  }
}
