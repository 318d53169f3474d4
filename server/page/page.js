'use strict'
const announced = document.getElementById('said')
for (const button of document.querySelectorAll('button.copy')) {
  if (!navigator.clipboard) break // it is there in secure contexts alone
  button.hidden = false
  const label = button.firstChild.data
  button.addEventListener('click', async () => {
    let said = 'Copied'
    try { await navigator.clipboard.writeText(button.dataset.copy) } catch { said = 'Not copied' }
    button.firstChild.data = announced.textContent = said
    setTimeout(() => { button.firstChild.data = label; announced.textContent = '' }, 2000)
  })
}
const list = document.getElementById('pushes')
if (list && window.EventSource) {
  let events
  const told = message => {
    const push = JSON.parse(message.data)
    const item = document.createElement('li')
    item.className = 'fresh'
    const when = document.createElement('time')
    when.dateTime = push.time
    when.textContent = new Date(push.time).toLocaleTimeString()
    const name = document.createElement('bdi')
    name.textContent = push.name
    let shown = name
    if (push.root) {
      shown = document.createElement('a')
      shown.href = '/?root=' + encodeURIComponent(push.root)
      shown.append(name)
    }
    const label = document.createElement('span')
    label.className = 'quiet'
    label.textContent = push.label
    item.append(when, ' ', shown, ' ', label)
    list.prepend(item)
    while (list.children.length > 20) list.lastElementChild.remove()
    document.getElementById('no-pushes').hidden = true
  }
  addEventListener('pageshow', () => { // also when the browser goes back to it
    events = new EventSource('/?view=events')
    events.addEventListener('push', told)
  })
  addEventListener('pagehide', () => events?.close())
}
