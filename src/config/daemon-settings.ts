/** Settings of the process a worker is: its user, its group, its umask. */
import { type Kind, Refusal, shown, text } from './kind.ts';
import { setting } from './setting.ts';

const highestUmask = 0o777;

/** As Celery reads it: octal with a leading zero, else decimal. */
const umask: Kind<number> = {
  rule: "a umask: octal with a leading zero ('022'), or a decimal number",
  label: 'umask',
  readText(given) {
    const digits = given.trim();
    if (/^0(o?)[0-7]+$/i.test(digits)) return umask.readValue(Number.parseInt(digits.replace(/^0o/i, ''), 8));
    return /^\d+$/.test(digits) && (digits === '0' || !digits.startsWith('0')) ? umask.readValue(Number(digits)) : refused(given);
  },
  readValue(value) {
    if (typeof value === 'string') return umask.readText(value);
    return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= highestUmask ? value : refused(value);
  },
  toToml: (mask) => `"${mask.toString(8).padStart(4, '0')}"`,
};

function refused(value: unknown): Refusal {
  return new Refusal(`must be ${umask.rule}, not above 0777, got ${shown(value)}`);
}

function nameOrNumber(of: string): Kind<string> {
  const named = text({ rule: `the name or the number of a ${of}` });
  return { ...named, readValue: (value) => named.readValue(typeof value === 'number' ? String(value) : value) };
}

function daemonFlag(name: string, argument: string) {
  return { names: [name], argument, on: ['worker'], group: 'Daemon options' } as const;
}

export const daemonSettings = {
  worker_uid: setting<string | null>({
    kind: nameOrNumber('user'),
    default: null,
    defaultText: 'the user who starts it',
    doc: 'User the worker becomes, with its groups, before anything else is opened or loaded. Needs root. HOME, USER and LOGNAME become those of the user.',
    flag: daemonFlag('--uid', 'USER'),
    celeryEnvironment: ['CELERY_WORKER_UID'],
    celeryDiffers: 'In Celery a flag only; the environment stays that of root.',
    example: 'umbel',
  }),
  worker_gid: setting<string | null>({
    kind: nameOrNumber('group'),
    default: null,
    defaultText: "the user's own group",
    doc: 'Group the worker becomes. Needs root.',
    flag: daemonFlag('--gid', 'GROUP'),
    celeryEnvironment: ['CELERY_WORKER_GID'],
    celeryDiffers: 'In Celery a flag only.',
    example: 'umbel',
  }),
  worker_umask: setting<number | null>({
    kind: umask,
    default: null,
    defaultText: 'as it is',
    doc: 'Rights that new files do not get.',
    flag: daemonFlag('--umask', 'MASK'),
    celeryEnvironment: ['CELERY_WORKER_UMASK'],
    celeryDiffers: 'In Celery a flag only.',
    example: 0o022,
  }),
} as const;
