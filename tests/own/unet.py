import segmentation_models_pytorch as smp

from vesica.networks import Network


class Unet(Network):
    def __init__(self, encoder):
        super().__init__()
        self.net = smp.Unet(encoder, encoder_weights=None)

    def frozen(self):
        return [self.net.encoder]

    def features(self, image):
        return tuple(self.net.encoder(image))

    def head(self, features, size):
        return self.net.segmentation_head(self.net.decoder(list(features)))


def unet(*, encoder: str = "resnet18", freeze: bool = True):
    return Unet(encoder) if freeze else smp.Unet(encoder, encoder_weights=None)
