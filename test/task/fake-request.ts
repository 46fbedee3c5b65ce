/** A request as the runtime would build it, and a host that remembers, for tests. */
import type { ResultTuple } from '../../src/protocol/result-tuple.ts';
import type { Retry } from '../../src/task/control-flow.ts';
import type { ContextHost, TaskLogLevel, TaskRequest } from '../../src/task/task-context.ts';

export function fakeRequest(over: Partial<TaskRequest> = {}): TaskRequest {
  return {
    id: 'id-1',
    name: 'tasks.add',
    args: [2, 3],
    kwargs: {},
    retries: 0,
    hostname: 'celery@example.com',
    deliveryInfo: { exchange: '', routingKey: 'celery', priority: 0, redelivered: false },
    rootId: 'id-1',
    parentId: null,
    group: null,
    groupIndex: null,
    correlationId: 'id-1',
    replyTo: null,
    retryUntilMs: null,
    eta: null,
    expires: null,
    timelimit: [null, null],
    origin: 'gen1@example.com',
    shadow: null,
    headers: {},
    ignoreResult: false,
    callbacks: null,
    errbacks: null,
    chain: null,
    chord: null,
    stampedHeaders: null,
    stamps: {},
    ...over,
  };
}

export class FakeHost implements ContextHost {
  readonly controller = new AbortController();
  readonly lines: (readonly [TaskLogLevel, string])[] = [];
  interrupted = false;
  readonly states: (readonly [string, unknown])[] = [];

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  log(level: TaskLogLevel, text: string): void {
    this.lines.push([level, text]);
  }

  async updateState(state: string, meta: unknown): Promise<void> {
    this.states.push([state, meta]);
  }

  readonly retries: Retry[] = [];

  async sendRetry(retry: Retry): Promise<void> {
    this.retries.push(retry);
  }

  readonly added: string[] = [];
  readonly trail: ResultTuple[] = [];

  readonly sent: (readonly [string, unknown])[] = [];

  async sendEvent(type: string, fields: unknown): Promise<void> {
    this.sent.push([type, fields]);
  }

  async addToChord(groupId: string): Promise<void> {
    this.added.push(groupId);
  }

  addTrail(result: ResultTuple): void {
    this.trail.push(result);
  }
}
