// verified-fetch in Node: node.mjs GATEWAY CID
import { check } from './check.mjs'

const [gateway, cid] = process.argv.slice(2)
console.log(`verified-fetch in Node ${process.version}: ${await check(gateway, cid)}`)
process.exit(0)
