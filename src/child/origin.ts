/** How this process signs the messages it makes, as Celery's pool children do: `gen<pid>@<hostname>`. */
import { hostname } from 'node:os';

export const origin = `gen${process.pid}@${hostname()}`;
