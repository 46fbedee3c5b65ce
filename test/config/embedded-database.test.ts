/** The default database stands in the state folder of the user. */
import t from 'tap';
import { embeddedDatabaseUrl } from '../../src/config/embedded-database.ts';

t.equal(embeddedDatabaseUrl({ XDG_STATE_HOME: '/state', HOME: '/home/me' }), 'sqlite:////state/umbel/umbel.db');
t.equal(embeddedDatabaseUrl({ HOME: '/home/me' }), 'sqlite:////home/me/.local/state/umbel/umbel.db');
t.equal(embeddedDatabaseUrl({ XDG_STATE_HOME: 'state', HOME: '/home/me' }), 'sqlite:////home/me/.local/state/umbel/umbel.db');
