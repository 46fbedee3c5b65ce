import t from 'tap';
import { RedisBackend } from '../../../src/backend/redis/redis-backend.ts';
import { RedisServer } from '../../redis-server.ts';
import { backendConformance } from '../conformance.ts';
import { connectionTo } from './redis-place.ts';

const server = await RedisServer.start(t);

backendConformance(t, {
  name: 'redis',
  open: async () => ({
    shared: true,
    create: async (resultExpiresMs) => new RedisBackend({ connection: connectionTo(server), resultExpiresMs }),
    close: async () => {},
  }),
});
