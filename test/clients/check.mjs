// Reads an image from a gateway through verified-fetch, in Node and in a browser,
// and compares what arrives with the digests by which OCI names it.
import { createVerifiedFetch } from '@helia/verified-fetch'

async function digest (bytes) {
  const hash = await crypto.subtle.digest('SHA-256', bytes)
  return Array.from(new Uint8Array(hash), b => b.toString(16).padStart(2, '0')).join('')
}

// check reads index.json, the manifest, and every blob of the layout cid, of the
// largest layer also a range. It returns what it read, and throws for what is not as it should be.
export async function check (gateway, cid) {
  const local = { allowLocal: true, allowInsecure: true }
  const get = await createVerifiedFetch({ gateways: [gateway], routers: [], ...local })
  const read = async (path, options) => {
    const response = await get(`ipfs://${cid}${path}`, { ...local, ...options })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return response.arrayBuffer()
  }
  const json = bytes => JSON.parse(new TextDecoder().decode(bytes))
  const blob = async descriptor => {
    const hex = descriptor.digest.split(':')[1]
    const bytes = await read(`/blobs/sha256/${hex}`)
    if (await digest(bytes) !== hex) throw new Error(`${descriptor.digest}: ${bytes.byteLength} other bytes`)
    return bytes
  }
  try {
    const index = json(await read('/index.json'))
    const manifest = json(await blob(index.manifests[0]))
    let bytes = 0
    for (const d of [manifest.config, ...manifest.layers]) bytes += (await blob(d)).byteLength
    const { digest: name, size } = manifest.layers.reduce((a, b) => a.size < b.size ? b : a)
    const path = `/blobs/sha256/${name.split(':')[1]}`
    const from = Math.floor(size / 2)
    const to = Math.min(from + 100, size)
    const whole = new Uint8Array(await read(path))
    const part = new Uint8Array(await read(path, { headers: { Range: `bytes=${from}-${to - 1}` } }))
    if (part.length !== to - from || part.some((b, i) => b !== whole[from + i])) throw new Error(`range: ${part.length} other bytes`)
    return `${manifest.layers.length} layers and a range, ${bytes} bytes`
  } finally {
    await get.stop()
  }
}
