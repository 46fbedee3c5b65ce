/**
 * What each signal means to a worker: the one table. Handlers are installed from it, and `docs/signals.md` is generated from
 * it, so the two cannot differ.
 *
 * Owns the meanings, the escalation of repeated signals and the exit statuses. Never does anything.
 */

/** What the worker is asked to do. */
export type SignalMeaning = 'warm' | 'cold' | 'hard' | 'restart' | 'dump' | 'inspect' | 'grow' | 'shrink' | 'quiet' | 'resume';

export type WorkerSignal =
  | 'SIGTERM'
  | 'SIGINT'
  | 'SIGQUIT'
  | 'SIGHUP'
  | 'SIGUSR1'
  | 'SIGUSR2'
  | 'SIGTTIN'
  | 'SIGTTOU'
  | 'SIGTSTP'
  | 'SIGCONT';

export interface SignalStep {
  readonly meaning: SignalMeaning;
  /** Exit status of the worker when this step ends it; null when the worker goes on. */
  readonly exitStatus: number | null;
}

export interface SignalEntry {
  /** First signal, first step; a repeated one takes the next; the last step repeats. */
  readonly steps: readonly [SignalStep, ...SignalStep[]];
  /** One line for the overview. */
  readonly summary: string;
  /** What an operator wants to know before sending it. Markdown. */
  readonly detail: string;
  /** When to use it, as a shell command. */
  readonly example: string;
}

const pid = '$(cat worker.pid)';

export const signalTable: Readonly<Record<WorkerSignal, SignalEntry>> = {
  SIGTERM: {
    steps: [{ meaning: 'warm', exitStatus: 0 }],
    summary: 'Finish what runs, hand back the rest, exit.',
    detail:
      'The normal way to stop a worker; what `systemctl stop` and `docker stop` send. The worker takes no more messages, ' +
      'lets running tasks finish, stores their results, acknowledges them and exits. `worker.shutdown_timeout` bounds the wait; when it is over ' +
      'the stop goes on as a cold one. Sending it again changes nothing. With `REMAP_SIGTERM=SIGQUIT` in the environment it means what SIGQUIT means, for ' +
      'platforms that can only send TERM.',
    example: `kill -TERM ${pid}`,
  },
  SIGINT: {
    steps: [
      { meaning: 'warm', exitStatus: 1 },
      { meaning: 'cold', exitStatus: 1 },
      { meaning: 'hard', exitStatus: 1 },
    ],
    summary: 'Ctrl-C: finish what runs; press again to end it, a third time to end everything now.',
    detail:
      'Meant for the terminal. Ctrl-C reaches the children too, which ignore it: only the parent decides. The third one kills the children and exits ' +
      'without waiting for broker or backend; while `worker.soft_shutdown_timeout` runs it ends that time first, and the fourth one kills.',
    example: `kill -INT ${pid}`,
  },
  SIGQUIT: {
    steps: [
      { meaning: 'cold', exitStatus: 1 },
      { meaning: 'hard', exitStatus: 1 },
    ],
    summary: 'End running tasks, hand back what can be run again, exit.',
    detail:
      'Use it when waiting for running tasks is not an option. With `worker.soft_shutdown_timeout` above 0 the worker first gives them that many seconds. ' +
      'Then their children are ended. A second one ends everything now; while that time runs it ends the time, and a third one ends everything.',
    example: `kill -QUIT ${pid}`,
  },
  SIGHUP: {
    steps: [{ meaning: 'restart', exitStatus: null }],
    summary: 'Check the configuration, stop warmly, start again under the same pid.',
    detail:
      'Loads new configuration and new task code. The configuration is read and checked first; if it has a problem, the problem is logged and the worker carries on ' +
      'with what it has. If it is good, the worker stops warmly and executes itself again with the same arguments and environment: the pid, the pid file and the supervisor’s view ' +
      'of the process stay as they are. A new executable under the same name is picked up as well. When the worker runs on a terminal and the signal came because that terminal was closed, ' +
      'it means a warm stop.',
    example: `kill -HUP ${pid}`,
  },
  SIGUSR1: {
    steps: [{ meaning: 'dump', exitStatus: null }],
    summary: 'Log what the parent and every child are doing.',
    detail:
      'For the worker that seems stuck. Writes the state of the parent and, for every child, the tasks it runs and the JavaScript stack it is in, also while it spins in a loop. Running ' +
      'tasks pause for some milliseconds and go on. Send it to the parent, never to a child: to a child it means to open its inspector.',
    example: `kill -USR1 ${pid}`,
  },
  SIGUSR2: {
    steps: [{ meaning: 'inspect', exitStatus: null }],
    summary: 'Open the JavaScript inspector, when that is enabled.',
    detail:
      'Refused with a line in the log unless `worker.enable_inspector` is set, because whoever reaches the inspector’s port can run code in the worker. It listens on the first free port of the loopback interface from 6900 on; the address is logged. ' +
      'The signal again closes it.',
    example: `kill -USR2 ${pid}`,
  },
  SIGTTIN: {
    steps: [{ meaning: 'grow', exitStatus: null }],
    summary: 'One pool child more.',
    detail: 'Until the next restart; the configured concurrency is not changed.',
    example: `kill -TTIN ${pid}`,
  },
  SIGTTOU: {
    steps: [{ meaning: 'shrink', exitStatus: null }],
    summary: 'One pool child less.',
    detail: 'The child with the highest index goes; when it is busy it finishes its tasks first. The last child stays.',
    example: `kill -TTOU ${pid}`,
  },
  SIGTSTP: {
    steps: [{ meaning: 'quiet', exitStatus: null }],
    summary: 'Take no more messages, keep running what is there.',
    detail:
      'The first half of a warm stop, for a deployment that wants to drain a worker before it decides. The worker stays connected. Reserved ' +
      'tasks it holds are still run. SIGCONT ends it; SIGTERM stops the worker. Ctrl-Z in a terminal sends it: the process is not suspended.',
    example: `kill -TSTP ${pid}`,
  },
  SIGCONT: {
    steps: [{ meaning: 'resume', exitStatus: null }],
    summary: 'Take messages again after SIGTSTP.',
    detail: 'Nothing happens when the worker is not quiet.',
    example: `kill -CONT ${pid}`,
  },
};

/** One way to stop, and what it does to tasks by their state and their ack mode. Markdown, for docs/signals.md. */
export interface StopEffect {
  readonly how: 'warm' | 'soft' | 'cold' | 'hard';
  readonly running: { readonly early: string; readonly late: string };
  readonly reserved: string;
  readonly scheduled: string;
}

export const stopEffects: readonly StopEffect[] = [
  {
    how: 'warm',
    running: { early: 'finishes, result stored', late: 'finishes, result stored, then acknowledged' },
    reserved: 'not started; back in its queue',
    scheduled: 'back in its queue, ETA kept',
  },
  {
    how: 'soft',
    running: {
      early: 'its signal aborts; as warm inside the window, then as cold',
      late: 'its signal aborts; as warm inside the window, then as cold',
    },
    reserved: 'not started; back in its queue',
    scheduled: 'back in its queue, ETA kept',
  },
  {
    how: 'cold',
    running: { early: 'ended; FAILURE with `WorkerLostError`', late: 'ended; back in its queue, marked redelivered' },
    reserved: 'not started; back in its queue',
    scheduled: 'back in its queue, ETA kept',
  },
  {
    how: 'hard',
    running: { early: 'killed and lost: no result is stored', late: 'killed; the broker delivers it again, marked redelivered' },
    reserved: 'the broker delivers it again',
    scheduled: 'the broker delivers it again, ETA kept',
  },
];

/** What a pool child does with signals that reach the whole process group or are sent to it by hand. */
export const childSignals: Readonly<Record<'ignored' | 'ends' | 'inspector', readonly NodeJS.Signals[]>> = {
  ignored: ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU', 'SIGUSR2'],
  ends: ['SIGTERM', 'SIGKILL'],
  inspector: ['SIGUSR1'],
};
