/**
 * What running tasks want of their parent: messages published, events sent, and things of the result backend.
 *
 * A child has no connection of its own. Never decides anything: what is refused is refused to the task.
 */
import type { ResultBackend } from '../backend/backend.ts';
import { chordsAllowed, startChords } from '../backend/start-chords.ts';
import type { BackendAsk, EventAsk, JoinAnswer, ParentAsk } from '../ipc/exchange.ts';
import type { Producer } from '../producer/producer.ts';

export interface ParentAsksParams {
  readonly producer: Producer;
  readonly backend: ResultBackend | null;
  readonly events: CustomEvents;
}

/** Takes an event of a task; nobody waits until it is sent. */
export interface CustomEvents {
  custom(type: string, fields: Readonly<Record<string, unknown>>, pid: number): void;
}

/** For each ask a promise of the answer. */
export function answerAsks({ producer, backend, events }: ParentAsksParams): (ask: ParentAsk, body: Buffer) => Promise<unknown> {
  return (ask, body) => {
    if ('ask' in ask) return ask.ask === 'send-event' ? sendEvent(events, ask) : askBackend(backend, ask);
    return producer.publish({ headers: ask.headers, properties: ask.properties, body }, ask);
  };
}

async function sendEvent(events: CustomEvents, { type, fields, pid }: EventAsk): Promise<void> {
  events.custom(type, fields, pid);
}

async function askBackend(backend: ResultBackend | null, ask: BackendAsk): Promise<unknown> {
  switch (ask.ask) {
    case 'start-chords':
      return startChords(backend, ask.chords);
    case 'add-to-chord':
      return chordsAllowed(backend).addToChord(ask.groupId);
    case 'join':
      return chordsAllowed(backend).join(ask.group, ask.timeoutMs) satisfies Promise<JoinAnswer>;
    case 'save-group':
      return chordsAllowed(backend).saveGroup(ask.group[0][0], ask.group);
    case 'delete-group':
      return chordsAllowed(backend).deleteGroup(ask.group[0][0]);
    case 'cleanup':
      return backend?.cleanup() ?? 0;
    case 'store-failed': {
      const { exceptionJson: resultJson, traceback } = ask;
      const common = { status: 'FAILURE', resultJson, traceback, childrenJson: '[]', dateDoneMs: Date.now(), parentId: null };
      await Promise.all(ask.tasks.map(({ taskId, groupId }) => backend?.store({ ...common, taskId, groupId })));
      return undefined;
    }
  }
}
