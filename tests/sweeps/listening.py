"""Run as a script: start a local cluster as a sweep does, and print the addresses on which it listens."""

import psutil
import ray

from ire.sweeps.ray.cluster import connected, nodes

if __name__ == "__main__":
    with connected(None):
        ray.get(ray.remote(nodes).remote())  # a worker listens, too
        me = psutil.Process()
        for process in [me, *me.children(recursive=True)]:
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    print(connection.laddr.ip, process.name())
