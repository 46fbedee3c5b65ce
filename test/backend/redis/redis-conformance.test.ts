import t from 'tap';
import { RedisBackend } from '../../../src/backend/redis/redis-backend.ts';
import { RedisServer } from '../../redis-server.ts';
import { type BackendConformanceParams, backendConformance } from '../conformance.ts';
import { groupsConformance } from '../groups-conformance.ts';
import { connectionTo } from './redis-place.ts';

const server = await RedisServer.start(t);

const params: BackendConformanceParams = {
  name: 'redis',
  open: async () => ({
    shared: true,
    create: async (resultExpiresMs) => new RedisBackend({ connection: connectionTo(server), resultExpiresMs }),
    close: async () => {},
  }),
};
backendConformance(t, params);
groupsConformance(t, params);
