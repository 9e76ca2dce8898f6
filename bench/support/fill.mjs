// Fills a Redis with bans, as fast as it takes them.
import { Redis } from 'ioredis';

/** Address number `i` of a range that holds no protected address. */
export function address(i) {
  return `${20 + (i >>> 18)}.${(i >>> 10) & 255}.${(i >>> 2) & 255}.${1 + (i & 3) * 64}`;
}

/** Writes `count` bans of a day to the socket. */
export async function fill(path, count, seconds = 86_400) {
  const redis = new Redis({ path });
  try {
    for (let i = 0; i < count; i += 1000) {
      const pipeline = redis.pipeline();
      for (let j = i; j < Math.min(count, i + 1000); j++)
        pipeline.set(`barricata:ban:${address(j)}`, 'a reason as long as reasons are', 'EX', seconds);
      await pipeline.exec();
    }
  } finally {
    redis.disconnect();
  }
}
