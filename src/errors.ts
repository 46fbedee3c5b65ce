/**
 * Every error the program can raise.
 *
 * Owns the catalogue: one stable code per kind of problem, the exit status that goes with it and the sentence that
 * explains it. `docs/errors.md` is generated from it. Nobody matches on message text; messages follow one form:
 * the rule, the actual value, and where it was found.
 *
 * Never does: printing, logging, exiting.
 */

/** Exit statuses, as in sysexits.h. */
export const exitStatus = {
  ok: 0,
  failure: 1,
  critical: 2,
  usage: 64,
  dataError: 65,
  noInput: 66,
  unavailable: 69,
  software: 70,
  osError: 71,
  cantCreate: 73,
  ioError: 74,
  tempFail: 75,
  noPermission: 77,
  config: 78,
} as const;

interface CatalogueEntry {
  /** Exit status when this error ends a command. */
  readonly exit: number;
  /** What it means and what to do; the text of docs/errors.md. */
  readonly meaning: string;
}

/** code → what it means. Keep the codes sorted by group; never reuse one. */
export const catalogue = {
  USAGE: { exit: exitStatus.usage, meaning: 'The command line has an unknown command or option, or a value of the wrong kind.' },
  CONFIG_INVALID: {
    exit: exitStatus.config,
    meaning:
      'The configuration has one or more problems; every one of them is listed with its place. Also: a server that answers has not what is configured, or a certificate cannot be used.',
  },
  CONFIG_UNREADABLE: {
    exit: exitStatus.config,
    meaning: 'The configuration file named on the command line or in UMBEL_CONFIG cannot be read.',
  },
  TASK_MODULE_NOT_FOUND: { exit: exitStatus.dataError, meaning: 'A path given with -A or worker.tasks does not exist.' },
  TASK_MODULE_BROKEN: { exit: exitStatus.dataError, meaning: 'A task module did not load; the file, the line and the cause are shown.' },
  TASK_DUPLICATE: { exit: exitStatus.dataError, meaning: 'Two exported functions would register under the same task name.' },
  TASK_OPTION_INVALID: {
    exit: exitStatus.dataError,
    meaning: 'An option given to task(), to a call or to new App() is unknown or has a wrong value.',
  },
  TASK_UNNAMED: {
    exit: exitStatus.dataError,
    meaning: 'A task was called that has neither a name option nor a module loaded by a worker.',
  },
  NO_APP: { exit: exitStatus.usage, meaning: 'A task was called in a program that has created and started no App.' },
  CHILD_CANNOT_START: { exit: exitStatus.software, meaning: 'No pool child could be started; the last cause is shown.' },
  SOLO_ENDED: {
    exit: exitStatus.software,
    meaning: 'With the solo pool, which runs task code in the worker itself, an error that nothing caught has ended the worker.',
  },
  BROKER_UNAVAILABLE: { exit: exitStatus.unavailable, meaning: 'The broker cannot be reached or opened.' },
  BROKER_LOST: { exit: exitStatus.unavailable, meaning: 'The connection to the broker was lost during the operation.' },
  CONSUMPTION_STUCK: {
    exit: exitStatus.tempFail,
    meaning:
      'Messages are ready and children are free, but none was delivered, and neither a new subscription nor a new connection helped.',
  },
  BROKER_REFUSED: {
    exit: exitStatus.unavailable,
    meaning:
      'The broker did what it was asked only in part or not at all: no such exchange, no queue for a mandatory message, a queue of another connection.',
  },
  BROKER_FULL: { exit: exitStatus.tempFail, meaning: 'A queue that is full refused the message.' },
  LOCAL_UNREACHABLE: {
    exit: exitStatus.unavailable,
    meaning: 'No worker of this machine answers on the socket that umbel ctl was to use.',
  },
  NO_NODES_REPLIED: { exit: exitStatus.unavailable, meaning: 'No worker answered a remote command in time, or none is there.' },
  BROKER_URL_INVALID: { exit: exitStatus.config, meaning: 'The broker URL has an unknown scheme or a malformed part.' },
  BACKEND_UNAVAILABLE: { exit: exitStatus.unavailable, meaning: 'The result backend cannot be reached or opened.' },
  BACKEND_DISABLED: { exit: exitStatus.config, meaning: 'A result was asked for, but no result backend is configured.' },
  BACKEND_URL_INVALID: { exit: exitStatus.config, meaning: 'The result backend URL has an unknown scheme or a malformed part.' },
  RESULT_TIMEOUT: { exit: exitStatus.tempFail, meaning: 'The result did not arrive within the time given.' },
  RESULT_TOO_LARGE: { exit: exitStatus.dataError, meaning: 'A result is larger than the result backend can keep.' },
  RESULT_WITHIN_TASK: {
    exit: exitStatus.usage,
    meaning: 'A task asked for the result of another task; a pool whose tasks wait for each other comes to a stop.',
  },
  QUEUE_UNKNOWN: { exit: exitStatus.usage, meaning: 'A queue is not declared and task.create_missing_queues is false.' },
  DEAD_LETTER_UNKNOWN: { exit: exitStatus.usage, meaning: 'No message with this id is put aside.' },
  AUTOSCALED: { exit: exitStatus.usage, meaning: 'The number of children follows the load and cannot be changed otherwise.' },
  CONTROL_MODULE_FAILED: {
    exit: exitStatus.config,
    meaning: 'A module of worker.control_modules did not load, or has no remote commands in it.',
  },
  CAMERA_FAILED: { exit: exitStatus.config, meaning: 'The module of `umbel events --camera` did not load, or has no camera in it.' },
  AUTOSCALER_FAILED: { exit: exitStatus.config, meaning: 'The module of worker.autoscaler did not load, threw, or returned no number.' },
  ROUTER_FAILED: {
    exit: exitStatus.dataError,
    meaning: 'A router of task.routes could not be loaded, threw, or returned what is no route; the message was not sent.',
  },
  MESSAGE_INVALID: { exit: exitStatus.dataError, meaning: 'A message does not follow the task protocol; it was rejected without requeue.' },
  MESSAGE_UNWRITABLE: { exit: exitStatus.dataError, meaning: 'A message has properties or headers that the broker cannot carry.' },
  MESSAGE_UNDECODABLE: { exit: exitStatus.dataError, meaning: 'The body of a message could not be decoded or decompressed.' },
  CONTENT_DISALLOWED: { exit: exitStatus.dataError, meaning: 'The content type of a message is not in accept_content.' },
  NOT_SUPPORTED: {
    exit: exitStatus.usage,
    meaning: 'The feature is known but not built in this version, or the pool in use cannot have it.',
  },
  PRIVILEGES_REFUSED: {
    exit: exitStatus.noPermission,
    meaning: 'The worker cannot become the user or group it is told to be, or could become root again.',
  },
  PIDFILE_EXISTS: { exit: exitStatus.cantCreate, meaning: 'Another worker with the same pidfile is running.' },
  REVOKE_INVALID: { exit: exitStatus.usage, meaning: 'A revoke names no task and no stamp, or a signal that is none.' },
  STATEDB_IN_USE: { exit: exitStatus.cantCreate, meaning: 'The state database given with --statedb is in use by another worker.' },
  FILE_CANNOT_CREATE: {
    exit: exitStatus.cantCreate,
    meaning: 'A log, pid or state file cannot be created; usually its folder is missing or not writable.',
  },
  FILE_UNREADABLE: { exit: exitStatus.noPermission, meaning: 'A pid file is there and may not be read by this user.' },
  OUTPUT_UNWRITABLE: { exit: exitStatus.ioError, meaning: 'What a command prints could not be written, for example to a full disk.' },
  NAME_INVALID: { exit: exitStatus.usage, meaning: 'A node name or a %-template in a file name is malformed.' },
  INTERNAL: { exit: exitStatus.software, meaning: 'A defect in the program itself. Please report it with the text.' },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;

/** The one base class. `code` is stable; `message` is for people. */
export class UmbelError extends Error {
  readonly code: ErrorCode;
  /** The same again would fail again. */
  readonly final: boolean;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown; final?: boolean }) {
    super(message, options);
    this.name = 'UmbelError';
    this.code = code;
    this.final = options?.final ?? false;
  }

  get exitStatus(): number {
    return catalogue[this.code].exit;
  }
}

/** The text of anything thrown, for use inside another message. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** There is no broker now, or it went while it was asked; it may be there for another try. */
export function isBrokerAway(error: unknown): boolean {
  return error instanceof UmbelError && !error.final && (error.code === 'BROKER_UNAVAILABLE' || error.code === 'BROKER_LOST');
}
